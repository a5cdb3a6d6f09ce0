"""waveform -> MFCC, and where in it somebody speaks.

Constants of time: MFCC steps are 10 ms, four to a frame of 40 ms. Step ``j`` looks at 25 ms of
sound centred on ``10 j`` ms, so steps ``4t … 4t+3`` lie under frame ``t``.
"""

from functools import cache

import numpy as np

from src.media import FPS, SAMPLE_RATE

HOP = 160  # samples a step: 10 ms
WINDOW = 400  # samples a step looks at: 25 ms
N_FFT = 512
N_MELS = 40  # bands; with as many coefficients the DCT loses nothing
STEPS_PER_FRAME = SAMPLE_RATE // HOP // FPS  # 4
SILENCE_RMS = 1e-4  # −80 dBFS: below it a whole track counts as silent

VAD_CHUNK = 512  # samples silero-vad judges at a time: 32 ms
VAD_CONTEXT = 64  # samples of the chunk before, which it wants in front
VAD_THRESHOLD = 0.5


@cache
def _mfcc_transform(n_mfcc: int):
    from torchaudio.transforms import MFCC

    transform = MFCC(
        SAMPLE_RATE,
        n_mfcc,
        melkwargs={
            "n_fft": N_FFT, "win_length": WINDOW, "hop_length": HOP, "n_mels": N_MELS,
            "mel_scale": "slaney", "norm": "slaney", "pad_mode": "constant",
        },
    )  # fmt: skip
    # The usual floor, 80 dB under the loudest moment of the file, would make a step depend on
    # what happens minutes away.
    transform.amplitude_to_DB.top_db = None
    return transform


def mfcc(samples: np.ndarray, n_frames: int, n_mfcc: int = N_MELS) -> np.ndarray:
    """Mel-frequency cepstral coefficients (Davis & Mermelstein 1980), orthonormal DCT-II of dB.

    Equal to ``librosa.feature.mfcc(S=power_to_db(melspectrogram(…), top_db=None))`` with
    librosa's (Slaney's) mel scale.

    Args:
        samples: float32 [n] at 16 kHz in −1…1; short sound is continued with silence.
        n_frames: number of 25 fps frames to cover.
        n_mfcc: coefficients a step, at most 40.

    Returns:
        float32 [4 * n_frames, n_mfcc].
    """
    import torch

    steps = n_frames * STEPS_PER_FRAME
    needed = steps * HOP
    padded = np.zeros(needed, np.float32)
    padded[: min(needed, len(samples))] = samples[:needed]
    with torch.inference_mode():
        features = _mfcc_transform(n_mfcc)(torch.from_numpy(padded))
    return np.ascontiguousarray(features[:, :steps].numpy().T)


@cache
def _vad_session():
    from importlib.resources import files

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    weights = files("silero_vad.data") / "silero_vad.onnx"
    return onnxruntime.InferenceSession(
        weights.read_bytes(), options, providers=["CPUExecutionProvider"]
    )


def speech_frames(samples: np.ndarray, n_frames: int) -> np.ndarray:
    """Which frames have speech under them, by silero-vad (its ONNX network, chunks of 32 ms).

    Args:
        samples: float32 [n] at 16 kHz.
        n_frames: number of 25 fps frames to cover.

    Returns:
        bool [n_frames].
    """
    session = _vad_session()
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(SAMPLE_RATE, np.int64)
    end = min(len(samples), n_frames * SAMPLE_RATE // FPS)
    padded = np.zeros(VAD_CONTEXT + -(-end // VAD_CHUNK) * VAD_CHUNK, np.float32)
    padded[VAD_CONTEXT : VAD_CONTEXT + end] = samples[:end]
    chances = []
    for start in range(0, len(padded) - VAD_CONTEXT, VAD_CHUNK):
        chunk = padded[None, start : start + VAD_CONTEXT + VAD_CHUNK]
        chance, state = session.run(None, {"input": chunk, "state": state, "sr": rate})
        chances.append(chance.item())
    middles = ((np.arange(n_frames) + 0.5) * SAMPLE_RATE / FPS).astype(int) // VAD_CHUNK
    spoken = np.array([*chances, 0.0]) >= VAD_THRESHOLD
    return spoken[np.minimum(middles, len(chances))]


def is_silent(samples: np.ndarray) -> bool:
    """Whether a whole track is silence (RMS under −80 dBFS)."""
    return len(samples) == 0 or float(np.sqrt(np.mean(np.square(samples)))) < SILENCE_RMS
