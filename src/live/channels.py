"""Audio of several channels that arrives in blocks: their mean, or one that has the speech."""

import numpy as np

from ..audio.channels import MIN_SPEECH_SHARE, Heard, better_channel
from ..core.constants import FPS
from ..models.sync_model import SyncModel
from .audio import LiveAudio

HALF_LIFE_FRAMES = 10 * FPS  # after which what was heard counts half


class LiveChannels:
    """A ``LiveAudio`` of the mean of all channels and one of each, of which one is in use.

    What is not documented here is that of the one in use.

    Args:
        model, n_mfcc, sample_rate, lead_s: as of ``LiveAudio``.
        n_channels: 1 or more.

    Attributes:
        channel: the only channel that is used, from 1; None: the mean of all.
    """

    def __init__(
        self, model: SyncModel, n_mfcc: int, sample_rate: int, lead_s: float, n_channels: int
    ):
        self.channel: int | None = None
        self._n_channels, self._n_switches = n_channels, 0
        n_mixes = 1 if n_channels == 1 else 1 + n_channels
        self._mixes = [LiveAudio(model, n_mfcc, sample_rate, lead_s) for _ in range(n_mixes)]
        # Of each mix: frames with speech, squares of samples and their number; old ones fade.
        self._heard, self._n_heard = np.zeros((n_mixes, 3)), 0

    @property
    def _current(self) -> LiveAudio:
        return self._mixes[self.channel or 0]

    @property
    def first_frame(self) -> int:
        return self._current.first_frame

    @property
    def stop_frame(self) -> int:
        return self._current.stop_frame

    @property
    def stop_hop(self) -> int:
        return self._current.stop_hop

    @property
    def speech(self) -> np.ndarray:
        return self._current.speech

    @property
    def embeddings(self) -> np.ndarray:
        return self._current.embeddings

    @property
    def version(self) -> tuple[int, int]:
        """Changes when existing embeddings are recomputed, or those of another channel."""
        return self._n_switches, self._current.version

    @property
    def n_values(self) -> int:
        """Numbers in memory, of all."""
        return sum(mix.n_values for mix in self._mixes)

    def start(self, time_s: float) -> None:
        for mix in self._mixes:
            mix.start(time_s)

    def push(self, time_s: float, samples: np.ndarray) -> None:
        """The next float32 [n] or [n, channels], the first of which has this time."""
        if samples.ndim == 1:
            samples = np.repeat(samples[:, None], self._n_channels, 1)
        parts = [samples.mean(1), *samples.T] if len(self._mixes) > 1 else [samples[:, 0]]
        for number, (mix, part) in enumerate(zip(self._mixes, parts, strict=True)):
            mix.push(time_s, np.ascontiguousarray(part))
            self._heard[number, 1:] += float(np.square(part, dtype=np.float64).sum()), len(part)

    def fill_silence(self, stop_frame: int) -> None:
        for mix in self._mixes:
            mix.fill_silence(stop_frame)

    def finish(self, n_frames: int) -> None:
        for mix in self._mixes:
            mix.finish(n_frames)

    def drop_before(self, frame: int) -> None:
        self._hear()
        for mix in self._mixes:
            mix.drop_before(frame)

    def update_embeddings(self, n_video_frames: int, recompute: bool = False) -> None:
        """Choose the channel, and embed what is new of it."""
        self._hear()
        self._choose()
        self._current.update_embeddings(n_video_frames, recompute)

    def _hear(self) -> None:
        """Count the speech of the frames since the last time."""
        n_new = self.stop_frame - self._n_heard
        if n_new <= 0:
            return
        self._heard *= 0.5 ** (n_new / HALF_LIFE_FRAMES)
        for number, mix in enumerate(self._mixes):
            self._heard[number, 0] += mix.speech[-n_new:].sum()
        self._n_heard = self.stop_frame

    def _choose(self) -> None:
        mean, *channels = (
            Heard(speech, np.sqrt(squares / max(1.0, n))) for speech, squares, n in self._heard
        )
        better = better_channel(mean, channels)
        if better is None and self.channel is not None:
            # The mean may be good again, or nobody speaks for a while.
            used = channels[self.channel - 1]
            better = self.channel if used.speech >= MIN_SPEECH_SHARE * mean.speech else None
        if better != self.channel:
            self.channel = better
            self._n_switches += 1
