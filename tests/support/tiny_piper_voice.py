"""A Piper voice on the spot: a network without weights that takes and gives what Piper's do."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE = 16_000  # Hz
HOP = 256  # samples; a network holds its symbols for whole hops
VOWELS, BILABIALS = "aeiouæɐɑɒɔəɚɛɜɪʊʌ", "pbm"
VOWEL_HZ = 1000
SHORT, LONG = 4, 7  # hops that consonants and vowels take; padding takes one

# Ids are one number a symbol, as in every voice; the first three are Piper's own.
SYMBOLS = ["_", "^", "$", *" .,?!ˈˌː", *"abdefhijklmnoprstuvwzæðŋɐɑɒɔəɚɛɜɡɪɹʃʊʌʒθᵻ"]


def write_tiny_voice(folder: Path, lead_samples: int = 0, times: bool = True, **settings) -> Path:
    """Write ``tiny.onnx`` and ``tiny.onnx.json``: vowels are loud, bilabials next to silent.

    Args:
        lead_samples: how much earlier than its times say the network speaks.
        times: whether Piper can find how long the network holds its symbols.
        settings: replace those of the same name in the .json.
    """
    path = folder / "tiny.onnx"
    onnx.save(_network(lead_samples, times), path)
    content = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "num_symbols": len(SYMBOLS),
        "num_speakers": 1,
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(SYMBOLS)},
        **settings,
    }
    path.with_name("tiny.onnx.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def _network(lead_samples: int, times: bool) -> onnx.ModelProto:
    hops = [1 if s in "_^$" else LONG if s in VOWELS else SHORT for s in SYMBOLS]
    levels = [0.5 if s in VOWELS else 1e-3 if s in BILABIALS or s == "_" else 0.05 for s in SYMBOLS]
    constants = {
        "hops_of": np.array(hops, np.float32),
        "level_of": np.array(levels, np.float32),
        "hop": np.float32(HOP),
        "lead": np.float32(lead_samples),
        "omega": np.float32(2 * np.pi * VOWEL_HZ / RATE),
        "hiss": np.float32(1e-4),
        "none": np.float32(0),
        "one": np.float32(1),
        "first": np.array([0]),
        "second": np.array(1),
        "at_end": np.array([1]),
        "axis": np.array(0),
        "shape": np.array([1, 1, 1, -1]),
    }
    node = helper.make_node
    # Where one node rounds up, Piper takes what it gives for the lengths of the symbols.
    rounded = "Ceil" if times else "Round"
    nodes = [
        node("Squeeze", ["input", "first"], ["ids"]),
        node("Gather", ["hops_of", "ids"], ["held"]),
        node("Gather", ["scales", "second"], ["length_scale"]),
        node("Mul", ["held", "length_scale"], ["scaled"]),
        node(rounded, ["scaled"], ["lengths"]),
        node("CumSum", ["lengths", "axis"], ["ends"]),
        node("ReduceSum", ["lengths"], ["n_hops"], keepdims=0),
        node("Mul", ["n_hops", "hop"], ["n_samples"]),
        node("Range", ["none", "n_samples", "one"], ["time"]),
        # which symbol is heard at each sample: the number of those that have ended
        node("Add", ["time", "lead"], ["heard"]),
        node("Div", ["heard", "hop"], ["heard_hop"]),
        node("Sub", ["n_hops", "one"], ["last_hop"]),
        node("Min", ["heard_hop", "last_hop"], ["hop_at"]),
        node("Unsqueeze", ["hop_at", "at_end"], ["hop_column"]),
        node("LessOrEqual", ["ends", "hop_column"], ["ended"]),
        node("Cast", ["ended"], ["ended_as_1"], to=TensorProto.INT64),
        node("ReduceSum", ["ended_as_1", "at_end"], ["index"], keepdims=0),
        node("Gather", ["ids", "index"], ["id_at"]),
        node("Gather", ["level_of", "id_at"], ["level"]),
        node("Mul", ["time", "omega"], ["phase"]),
        node("Sin", ["phase"], ["tone"]),
        node("Mul", ["level", "tone"], ["clean"]),
        node("RandomNormalLike", ["time"], ["noise"]),
        node("Mul", ["noise", "hiss"], ["hissing"]),
        node("Add", ["clean", "hissing"], ["audio"]),
        node("Reshape", ["audio", "shape"], ["output"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            value("input", TensorProto.INT64, ["batch", "phonemes"]),
            value("input_lengths", TensorProto.INT64, ["batch"]),
            value("scales", TensorProto.FLOAT, [3]),
        ],
        [value("output", TensorProto.FLOAT, [1, 1, 1, "samples"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
