"""Where there is speech (silero-vad)."""

from functools import cache

import numpy as np

from ..core.constants import FPS, SAMPLE_RATE

VAD_CHUNK = 512  # samples silero-vad judges at a time: 32 ms
VAD_CONTEXT = 64  # samples of the chunk before, which it wants in front
VAD_THRESHOLD = 0.5


@cache
def _vad_session():
    from importlib.resources import files

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it remarks on an unused weight
    # The network that takes many chunks a call: the same numbers in a quarter of the time.
    weights = files("silero_vad.data") / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(
        weights.read_bytes(), options, providers=["CPUExecutionProvider"]
    )


class _Speech:
    """silero-vad's state between blocks."""

    def __init__(self):
        self._state = [np.zeros((1, 1, 128), np.float32) for _ in range(2)]
        self._before = np.zeros(VAD_CONTEXT, np.float32)

    def of(self, samples: np.ndarray) -> np.ndarray:
        """float32 [F · 640], whole frames -> bool [F]."""
        frames = len(samples) * FPS // SAMPLE_RATE
        padded = np.zeros(VAD_CONTEXT + -(-len(samples) // VAD_CHUNK) * VAD_CHUNK, np.float32)
        padded[:VAD_CONTEXT] = self._before
        padded[VAD_CONTEXT : VAD_CONTEXT + len(samples)] = samples
        windows = np.lib.stride_tricks.sliding_window_view(padded, VAD_CONTEXT + VAD_CHUNK)
        chances, *self._state = _vad_session().run(
            None,
            {
                "input": np.ascontiguousarray(windows[::VAD_CHUNK]),
                "h": self._state[0],
                "c": self._state[1],
            },
        )
        self._before = padded[-VAD_CONTEXT:]
        middles = ((np.arange(frames) + 0.5) * SAMPLE_RATE / FPS).astype(int) // VAD_CHUNK
        return chances.ravel()[middles] >= VAD_THRESHOLD
