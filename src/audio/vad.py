"""Voice activity detection (silero-vad, https://github.com/snakers4/silero-vad).

The weights are its file ``silero_vad_16k_sequence.onnx`` (MIT): its package requires PyTorch.
"""

from functools import cache
from pathlib import Path

import numpy as np

from ..core.constants import FPS, SAMPLE_RATE

WEIGHTS = Path(__file__).parent / "data" / "silero_vad.onnx"
VAD_CHUNK = 512  # samples silero-vad classifies at a time: 32 ms
VAD_CONTEXT = 64  # samples of the previous chunk that it takes in front of each
VAD_THRESHOLD = 0.5  # probability from which a chunk is speech


@cache
def _vad_session():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only: it warns of an unused weight
    # The network that takes many chunks a call: the same numbers in a quarter of the time.
    return onnxruntime.InferenceSession(
        WEIGHTS.read_bytes(), options, providers=["CPUExecutionProvider"]
    )


class SpeechDetector:
    """Decides frame by frame whether someone speaks; its state goes from block to block."""

    def __init__(self):
        self._state = [np.zeros((1, 1, 128), np.float32) for _ in range(2)]
        self._context = np.zeros(VAD_CONTEXT, np.float32)

    def detect(self, samples: np.ndarray) -> np.ndarray:
        """The next frames: float32 [F · 640], 16 kHz, −1…1 -> bool [F]."""
        n_frames = len(samples) * FPS // SAMPLE_RATE
        n_chunks = -(-len(samples) // VAD_CHUNK)
        padded = np.zeros(VAD_CONTEXT + n_chunks * VAD_CHUNK, np.float32)
        padded[:VAD_CONTEXT] = self._context
        padded[VAD_CONTEXT : VAD_CONTEXT + len(samples)] = samples
        windows = np.lib.stride_tricks.sliding_window_view(padded, VAD_CONTEXT + VAD_CHUNK)
        probabilities, *self._state = _vad_session().run(
            None,
            {
                "input": np.ascontiguousarray(windows[::VAD_CHUNK]),
                "h": self._state[0],
                "c": self._state[1],
            },
        )
        self._context = padded[-VAD_CONTEXT:]
        # A frame has the probability of the chunk under its centre.
        centres = ((np.arange(n_frames) + 0.5) * SAMPLE_RATE / FPS).astype(int)
        return probabilities.ravel()[centres // VAD_CHUNK] >= VAD_THRESHOLD
