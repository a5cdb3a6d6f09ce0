"""Scores a sample with exported encoders; requires only numpy and onnxruntime (or torch).

    python inference_example.py [sample.npy] [--models FOLDER] [--backend onnx|torchscript]

Without a sample it scores ``example_sample.npy``, of a drawn talker, which is exported with it.
``sample.npy`` is a sample as src/data_processing.py writes it: one record for each frame of 40 ms,
with ``crop`` (uint8, the aligned face), ``mfcc`` (float32, 4 hops of 10 ms) and ``speech`` (bool).
normalization_params.json describes how crops and MFCC are made from a video. It prints the score
(the probability that video and audio are in sync as given), the offset in ms (how much the audio
must be delayed) and the probability that this offset is correct.
"""

import argparse
import json
import math
import os
from pathlib import Path

import numpy as np

SAMPLE_NAME = "example_sample.npy"


def load_encoders(folder: Path, backend: str):
    """The video and the audio encoder as functions of arrays."""
    if backend == "onnx":
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read by the import
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


def embed_video(encode, crops: np.ndarray, params: dict) -> np.ndarray:
    """Crops [T, S, S] -> embeddings [T − 4, D]: cut out the face region and normalise it."""
    top, left, height, width = (params["view"][k] for k in ("top", "left", "height", "width"))
    views = crops[:, top : top + height, left : left + width].astype(np.float32) / 255
    deviation = np.sqrt(max(float(views.var()), params["least_variance_views"]))
    return encode(((views - views.mean()) / deviation)[None].astype(np.float32))[0]


def embed_audio(encode, mfcc: np.ndarray, speech: np.ndarray, params: dict) -> np.ndarray:
    """MFCC [4 T, n] -> embeddings at every hop of 10 ms [4 (T − 4) − 3, D]."""
    n_mels, hops = params["n_mels"], params["steps_per_frame"]
    k, m = np.arange(mfcc.shape[1])[:, None], np.arange(n_mels)[None]
    scale = np.where(k == 0, np.sqrt(1 / n_mels), np.sqrt(2 / n_mels))
    dct = np.cos(np.pi / n_mels * (m + 0.5) * k) * scale
    bands = mfcc @ dct  # dB
    is_speech = np.repeat(speech, hops)
    is_speech = is_speech if is_speech.any() else np.ones_like(is_speech)
    mean = bands[is_speech].mean(0)
    variance = ((bands[is_speech] - mean) ** 2).mean()
    bands = (bands - mean) / np.sqrt(max(variance, params["least_variance_bands"]))
    bands = np.clip(bands, -params["clip_bands"], params["clip_bands"]).astype(np.float32)
    windows = len(speech) - params["window_frames"] + 1
    embeddings = np.zeros((windows * hops, params["embedding_dim"]), np.float32)
    embeddings[::hops] = encode(bands[None])[0]
    for phase in range(1, hops if windows > 1 else 1):
        embeddings[phase:-hops:hops] = encode(bands[None, phase : len(bands) - hops + phase])[0]
    return embeddings[: len(embeddings) - hops + 1]


def similarity_curve(video: np.ndarray, audio: np.ndarray, speech: np.ndarray, params: dict):
    """(curve, count, level): the similarity at every offset (NaN where too few windows support it),
    how many windows each offset has, and the mean similarity of all.

    The mean of an offset with n windows is drawn towards that of all by √(n/N), N the largest n:
    the mean of few windows varies more.
    """
    hops, reach = params["steps_per_frame"], params["reach_steps"]
    half = params["window_frames"] * hops // 2
    has_speech = speech[np.minimum((np.arange(len(audio)) + half) // hops, len(speech) - 1)]
    starts = np.arange(len(video)) * hops
    total, count = np.zeros(2 * reach + 1), np.zeros(2 * reach + 1)
    for column, offset in enumerate(range(-reach, reach + 1)):
        audio_index = starts - offset
        exists = (audio_index >= 0) & (audio_index < len(audio))
        audio_index = audio_index[exists]
        counted = has_speech[audio_index]
        total[column] = ((video[exists] * audio[audio_index]).sum(1) * counted).sum()
        count[column] = counted.sum()
    level = total.sum() / max(count.sum(), 1)
    above = total / np.maximum(count, 1) - level
    curve = level + above * np.sqrt(count / max(count.max(), 1))
    is_supported = count >= max(params["least_windows"], params["least_support"] * count.max())
    return np.where(is_supported, curve, np.nan), count, level


def curve_features(curve: np.ndarray, count: np.ndarray, centre: int, params: dict):
    """Level, lead, lead × √seconds, and how far level and lead stand out from what is far away.
    None without support."""
    reach, hops = params["reach_steps"], params["steps_per_frame"]
    distance = np.abs(np.arange(-reach, reach + 1) - centre)
    near, far = curve[distance <= hops], curve[distance >= 3 * hops]
    if np.isnan(near).all() or np.isnan(far).all():
        return None
    level = np.nanmax(near)
    lead = level - np.nanmax(far)
    spread = max(np.nanstd(far), params["least_spread"])
    return np.array([
        level, lead, lead * np.sqrt(count[reach + centre] / params["fps"]),
        np.arcsinh((level - np.nanmean(far)) / spread), np.arcsinh(lead / spread),
    ])  # fmt: skip


def probability(
    curve: np.ndarray, count: np.ndarray, centre: int, name: str, calibration: dict, params: dict
):
    """The calibrated probability of an offset: logistic in its features. Longer speech may have a
    fit of its own."""
    features = curve_features(curve, count, centre, params)
    if features is None:
        return None
    is_long = count[params["reach_steps"] + centre] >= params["long_windows"]
    fitted = calibration.get(f"long_{name}" if is_long else name, calibration[name])
    scaled = (features[: len(fitted["mean"])] - fitted["mean"]) / fitted["scale"]
    return float(1 / (1 + np.exp(-(scaled @ np.array(fitted["weights"]) + fitted["bias"]))))


def sync_score(curve: np.ndarray, count: np.ndarray, level: float, calibration: dict, params: dict):
    """The probability that the pair is in sync as given. Below 3 frames, where the features change
    little, the position of the peak decides whether it is within one."""
    score = probability(curve, count, 0, "score", calibration, params)
    if score is None:
        return None
    reach = params["reach_steps"]
    is_inner = np.abs(np.arange(-reach, reach + 1)) < 3 * params["steps_per_frame"]
    inner = np.where(is_inner, curve, np.nan)
    features = curve_features(curve, count, int(np.nanargmax(inner)) - reach, params)
    clarity = 0.0 if features is None else np.clip(features[1] / params["least_lead"], 0, 1)
    margin_ms = params["score_tolerance_ms"] - abs(best_offset_ms(inner, count, level, params))
    outside = 0.5 * (1 - math.erf(margin_ms / (params["peak_error_ms"] * math.sqrt(2))))
    return float(score * (1 - clarity * outside))


def best_offset_ms(curve: np.ndarray, count: np.ndarray, level: float, params: dict) -> float:
    """The best offset, finer than a hop: the vertex of a parabola fitted to the means around it."""
    offsets = np.arange(len(curve)) - params["reach_steps"]
    best = int(offsets[np.nanargmax(curve)])
    supported = offsets[~np.isnan(curve)]
    near = (np.abs(offsets - best) <= params["fit_steps"]) & ~np.isnan(curve)
    refined = 0.0
    if near.sum() >= 3 and best not in (supported[0], supported[-1]):
        means = level + (curve[near] - level) * np.sqrt(count.max() / count[near])
        curvature, slope, _ = np.polyfit(offsets[near] - best, means, 2)
        if curvature < 0:
            refined = float(
                np.clip(-slope / (2 * curvature), -params["fit_steps"], params["fit_steps"])
            )
    return float(np.clip(best + refined, *offsets[near][[0, -1]]) * params["step_ms"])


def score_sample(sample: np.ndarray, folder: Path, backend: str = "onnx") -> dict:
    """Score and offset of a sample; None where it has too little speech."""
    params = json.loads((folder / "normalization_params.json").read_text(encoding="utf-8"))
    calibration = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))[
        "calibration"
    ]
    encode_video, encode_audio = load_encoders(folder, backend)
    speech = np.ascontiguousarray(sample["speech"])
    mfcc = np.ascontiguousarray(sample["mfcc"]).reshape(-1, sample["mfcc"].shape[-1])
    video = embed_video(encode_video, np.ascontiguousarray(sample["crop"]), params)
    audio = embed_audio(encode_audio, mfcc, speech, params)
    curve, count, level = similarity_curve(video, audio, speech, params)
    if np.isnan(curve).all():
        return {"score": None, "offset_ms": None, "offset_probability": None}
    best = int(np.nanargmax(curve)) - params["reach_steps"]
    return {
        "score": sync_score(curve, count, level, calibration, params),
        "offset_ms": best_offset_ms(curve, count, level, params),
        "offset_probability": probability(curve, count, best, "peak", calibration, params),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sample", type=Path, nargs="?", default=Path(__file__).resolve().parent / SAMPLE_NAME
    )
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--backend", choices=("onnx", "torchscript"), default="onnx")
    options = parser.parse_args()
    print(json.dumps(score_sample(np.load(options.sample), options.models, options.backend)))
