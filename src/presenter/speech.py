"""New speech -> what the mouth has to do in each output frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.features import LevelMeter, compute_features
from ..core.constants import FPS, HOPS_PER_FRAME, SAMPLES_PER_FRAME, WINDOW_FRAMES
from ..core.errors import ClipTooShortError, PresenterError, SilentAudioError
from ..i18n.messages import tr
from ..media.reader import stream_audio
from ..media.stream_choice import StreamChoice
from ..models.embedding import embed_audio
from ..preprocessing.audio import find_channel
from .sync_tools import SyncTools

CLOSE_AFTER, OPEN_BEFORE = 3, 3  # frames by which lips close after speech, and open before it
MIN_SPEECH_S = 0.2


@dataclass(frozen=True)
class Speech:
    """The audio that is to be spoken, on the 25 fps grid.

    Attributes:
        path: of the file.
        duration_s: of the audio.
        embedding: float32 [T, D], of the window around each frame, length 1.
        has_speech: bool [T].
    """

    path: Path
    duration_s: float
    embedding: np.ndarray
    has_speech: np.ndarray

    @property
    def silent(self) -> np.ndarray:
        """bool [T]: frames in which the lips must be shut."""
        near = self.has_speech.copy()
        for shift in range(1, CLOSE_AFTER + 1):
            near[shift:] |= self.has_speech[:-shift]
        for shift in range(1, OPEN_BEFORE + 1):
            near[:-shift] |= self.has_speech[shift:]
        return ~near


def read_speech(path: str | Path, tools: SyncTools) -> Speech:
    """Read the new audio and compute what the sync model hears in it.

    Raises:
        MediaError: it cannot be read, or is silent.
        PresenterError: nobody speaks in it.
    """
    meter = LevelMeter()
    streams = StreamChoice(channel=find_channel(path))
    blocks = list(meter.measure(stream_audio(path, streams)))
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if meter.is_silent:
        raise SilentAudioError(tr("the audio of {path} is silent throughout", path=path))
    if len(samples) < WINDOW_FRAMES * SAMPLES_PER_FRAME:
        raise ClipTooShortError(
            tr("the audio of {path} is only {ms} ms long; at least 200 ms required",
               path=path, ms=len(samples) * 1000 // (SAMPLES_PER_FRAME * FPS))
        )  # fmt: skip
    embedding, has_speech = hear(samples, tools)
    if has_speech.sum() < MIN_SPEECH_S * FPS:
        raise PresenterError(tr("nobody speaks in {path}: give a recording of speech", path=path))
    return Speech(Path(path), len(samples) / (SAMPLES_PER_FRAME * FPS), embedding, has_speech)


def hear(samples: np.ndarray, tools: SyncTools) -> tuple[np.ndarray, np.ndarray]:
    """What the sync model hears at each frame of the 25 fps grid.

    Args:
        samples: float32 [n], 16 kHz.

    Returns:
        embeddings of the window around each frame, float32 [T, D], length 1; and where somebody
        speaks, bool [T].
    """
    n_frames = -(-len(samples) // SAMPLES_PER_FRAME)
    # Silence around it, so that the first and the last frame have windows too.
    half = WINDOW_FRAMES // 2
    before = np.zeros(half * SAMPLES_PER_FRAME, np.float32)
    after = np.zeros((half + 2) * SAMPLES_PER_FRAME, np.float32)
    padded = np.concatenate([before, samples, after])
    mfcc, speech = compute_features(padded, n_frames + 2 * half + 2, tools.data.n_mfcc)
    embeddings = embed_audio(tools.model, mfcc, speech)[::HOPS_PER_FRAME][:n_frames]
    return embeddings.astype(np.float32), speech[half : half + n_frames]
