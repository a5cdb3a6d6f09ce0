"""Scores a sample with exported encoders; needs numpy and onnxruntime (or torch), nothing else.

    python inference_example.py sample.npy [--models FOLDER] [--backend onnx|torchscript]

``sample.npy`` is a sample as src/data_processing.py writes it: records, one a frame of 40 ms, with
``crop`` (uint8, the aligned face), ``mfcc`` (float32, 4 steps of 10 ms) and ``speech`` (bool).
normalization_params.json says how crops and MFCC are made from a video. It prints the score (the
chance that picture and sound are in sync as they are), the offset in ms (how much the sound must be
delayed) and the chance that this offset is right.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np


def encoders(folder: Path, backend: str):
    """The two encoders as functions of arrays."""
    if backend == "onnx":
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it is read at the import
        import onnxruntime

        def load(name):
            session = onnxruntime.InferenceSession(str(folder / f"{name}_encoder.onnx"))
            return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]
    else:
        import torch

        def load(name):
            net = torch.jit.load(str(folder / f"{name}_encoder.torchscript.pt"))
            return lambda x: net(torch.from_numpy(x)).detach().numpy()

    return load("video"), load("audio")


def video_embeddings(encode, crops: np.ndarray, params: dict) -> np.ndarray:
    """Crops [T, S, S] -> embeddings [T − 4, D]: cut out the view, remove the clip's brightness."""
    top, left, height, width = (params["view"][k] for k in ("top", "left", "height", "width"))
    views = crops[:, top : top + height, left : left + width].astype(np.float32) / 255
    deviation = np.sqrt(max(float(views.var()), params["least_variance_views"]))
    return encode(((views - views.mean()) / deviation)[None].astype(np.float32))[0]


def audio_embeddings(encode, mfcc: np.ndarray, speech: np.ndarray, params: dict) -> np.ndarray:
    """MFCC [4 T, n] -> embeddings at every step of 10 ms [4 (T − 4) − 3, D]."""
    n, steps = params["n_mels"], params["steps_per_frame"]
    k, m = np.arange(mfcc.shape[1])[:, None], np.arange(n)[None]
    dct = np.cos(np.pi / n * (m + 0.5) * k) * np.where(k == 0, np.sqrt(1 / n), np.sqrt(2 / n))
    bands = mfcc @ dct  # dB
    counted = np.repeat(speech, steps)
    counted = counted if counted.any() else np.ones_like(counted)
    mean = bands[counted].mean(0)
    variance = ((bands[counted] - mean) ** 2).mean()
    bands = (bands - mean) / np.sqrt(max(variance, params["least_variance_bands"]))
    bands = np.clip(bands, -params["clip_bands"], params["clip_bands"]).astype(np.float32)
    windows = len(speech) - params["window_frames"] + 1
    fine = np.zeros((windows * steps, params["embedding_dim"]), np.float32)
    fine[::steps] = encode(bands[None])[0]
    for phase in range(1, steps if windows > 1 else 1):
        fine[phase:-steps:steps] = encode(bands[None, phase : len(bands) - steps + phase])[0]
    return fine[: len(fine) - steps + 1]


def curve(video: np.ndarray, audio: np.ndarray, speech: np.ndarray, params: dict):
    """Mean similarity at every offset (NaN where too few windows support it), most windows."""
    steps, reach = params["steps_per_frame"], params["reach_steps"]
    half = params["window_frames"] * steps // 2
    spoken = speech[np.minimum((np.arange(len(audio)) + half) // steps, len(speech) - 1)]
    begins = np.arange(len(video)) * steps
    total, count = np.zeros(2 * reach + 1), np.zeros(2 * reach + 1)
    for column, offset in enumerate(range(-reach, reach + 1)):
        at = begins - offset
        there = (at >= 0) & (at < len(audio))
        used = spoken[at[there]]
        total[column] = ((video[there] * audio[at[there]]).sum(1) * used).sum()
        count[column] = used.sum()
    enough = count >= max(params["least_windows"], count.max() / 2)
    return np.where(enough, total / np.maximum(count, 1), np.nan), int(count.max())


def chance(similarity: np.ndarray, windows: int, centre: int, fitted: dict, params: dict):
    """The calibrated chance for an offset: logistic on level, lead, and lead × √seconds."""
    reach, steps = params["reach_steps"], params["steps_per_frame"]
    distance = np.abs(np.arange(-reach, reach + 1) - centre)
    near, far = similarity[distance <= steps], similarity[distance >= 3 * steps]
    if np.isnan(near).all() or np.isnan(far).all():
        return None
    level = np.nanmax(near)
    lead = level - np.nanmax(far)
    readings = np.array([level, lead, lead * np.sqrt(windows / params["fps"])])
    scaled = (readings - fitted["mean"]) / fitted["scale"]
    return float(1 / (1 + np.exp(-(scaled @ np.array(fitted["weights"]) + fitted["bias"]))))


def best_ms(similarity: np.ndarray, params: dict) -> float:
    """The best offset, finer than a step: a parabola over its neighbours."""
    offsets = np.arange(len(similarity)) - params["reach_steps"]
    best = int(offsets[np.nanargmax(similarity)])
    known = offsets[~np.isnan(similarity)]
    near = (np.abs(offsets - best) <= params["fit_steps"]) & ~np.isnan(similarity)
    refined = 0.0
    if near.sum() >= 3 and best not in (known[0], known[-1]):
        bend, slope, _ = np.polyfit(offsets[near] - best, similarity[near], 2)
        if bend < 0:
            refined = float(np.clip(-slope / (2 * bend), -params["fit_steps"], params["fit_steps"]))
    return (best + refined) * params["step_ms"]


def judge(sample: np.ndarray, folder: Path, backend: str = "onnx") -> dict:
    """Score and offset of a sample; None where there is too little speech."""
    params = json.loads((folder / "normalization_params.json").read_text(encoding="utf-8"))
    calibration = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))[
        "calibration"
    ]
    encode_video, encode_audio = encoders(folder, backend)
    speech = np.ascontiguousarray(sample["speech"])
    mfcc = np.ascontiguousarray(sample["mfcc"]).reshape(-1, sample["mfcc"].shape[-1])
    video = video_embeddings(encode_video, np.ascontiguousarray(sample["crop"]), params)
    audio = audio_embeddings(encode_audio, mfcc, speech, params)
    similarity, windows = curve(video, audio, speech, params)
    if np.isnan(similarity).all():
        return {"score": None, "offset_ms": None, "offset_probability": None}
    best = int(np.nanargmax(similarity)) - params["reach_steps"]
    return {
        "score": chance(similarity, windows, 0, calibration["score"], params),
        "offset_ms": best_ms(similarity, params),
        "offset_probability": chance(similarity, windows, best, calibration["peak"], params),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sample", type=Path)
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--backend", choices=("onnx", "torchscript"), default="onnx")
    options = parser.parse_args()
    print(json.dumps(judge(np.load(options.sample), options.models, options.backend)))
