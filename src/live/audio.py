"""Sound that comes in blocks -> audio embeddings of the last seconds.

What is done is what ``media.audio_blocks``, ``clip_features`` and ``embedding.embed_audio`` do with
a file, but the mean spectrum that is removed is that of the speech so far. Embeddings are made
anew whenever twice as much speech has been heard.
"""

from collections import deque

import av
import numpy as np
import torch

from ..audio.features import LEAST_BLOCK_FRAMES, FeatureStream, silence
from ..core.constants import (
    FPS,
    HOPS_PER_FRAME,
    N_MELS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    WINDOW_FRAMES,
)
from ..media.reader import resampled
from ..models.embedding import embed_bands
from ..models.normalization import bands_of, deviation_of, levelled_bands
from ..models.sync_model import SyncModel
from .running_mean import RunningMean

# A block whose time is further than this from where the one before ended starts anew at its time.
# Sound cards stamp blocks of 10–20 ms with the time at which they were fetched.
JITTER_S = 0.02
LEVEL_STEPS = 60 * FPS * HOPS_PER_FRAME  # steps of speech after which the mean spectrum forgets


class LiveSound:
    """The last seconds of a sound, as features and embeddings; frame 0 is the first picture.

    Args:
        model: embeds it.
        n_mfcc: coefficients a step.
        sample_rate: Hz, of what is pushed.
        lead_s: how much sound is held before the first picture.

    Attributes:
        first_frame: the first that is held.
        speech: bool [F], by frame from there on.
        rows: float32 [4 (F' − 4) − 3, D], audio embeddings every 10 ms from there on, of the
            F' ≤ F frames that are embedded.
        version: changes when rows that there were are made anew.
    """

    def __init__(self, model: SyncModel, n_mfcc: int, sample_rate: int, lead_s: float):
        self._model, self._n_mfcc, self._rate, self._lead_s = model, n_mfcc, sample_rate, lead_s
        self._features = FeatureStream(n_mfcc, LEAST_BLOCK_FRAMES)
        self._zero, self._waiting = None, deque()  # blocks before the first picture
        self._resampler, self._expected = None, 0.0  # s, when the next block is due
        self._at = self._end = 0  # places of the resampler's next sample, and of the features'
        self.first_frame, self.version = 0, 0
        self.speech = np.zeros(0, bool)
        self._bands = np.zeros((0, N_MELS), np.float32)  # dB, four a frame
        self.rows = np.zeros((0, model.size.length), np.float32)
        self._levels = RunningMean(N_MELS + 1, LEVEL_STEPS)
        self._counted = self._embedded_with = 0

    @property
    def frames(self) -> int:
        """The frame after the last one that is known."""
        return self.first_frame + len(self.speech)

    @property
    def stop_step(self) -> int:
        """The step after the last that has an embedding, counted from frame 0."""
        return self.first_frame * HOPS_PER_FRAME + len(self.rows)

    @property
    def held(self) -> int:
        """Numbers in memory."""
        waiting = sum(len(samples) for _, samples in self._waiting)
        return self._bands.size + self.rows.size + self.speech.size + waiting

    def begin(self, zero: float) -> None:
        """The first picture is of ``zero`` seconds."""
        self._zero = zero
        while self._waiting:
            self.push(*self._waiting.popleft())

    def push(self, t: float, samples: np.ndarray) -> None:
        """The next float32 [n] samples, the first of which is of ``t`` seconds."""
        if self._zero is None:
            self._waiting.append((t, samples.copy()))
            while t - self._waiting[0][0] > self._lead_s:
                self._waiting.popleft()
            return
        if self._resampler is None or abs(t - self._expected) > JITTER_S:
            self._flush()
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            self._expected, self._at = t, round((t - self._zero) * SAMPLE_RATE)
        self._expected += len(samples) / self._rate
        if len(samples):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
            frame.sample_rate = self._rate
            for block in resampled(self._resampler, frame):
                self._take(block[0])

    def _flush(self) -> None:
        for block in resampled(self._resampler, None):
            self._take(block[0])
        self._resampler = None

    def _take(self, samples: np.ndarray) -> None:
        """Samples at 16 kHz in their place; a gap is silence, what overlaps is left out."""
        self._silence_until(self._at)
        self._feed(samples[max(0, self._end - self._at) :])
        self._at += len(samples)

    def _silence_until(self, place: int) -> None:
        while self._end < place:
            self._feed(np.zeros(min(SAMPLE_RATE, place - self._end), np.float32))

    def _feed(self, samples: np.ndarray) -> None:
        self._end += len(samples)
        for mfcc, speech in self._features.push(samples):
            self._append(mfcc, speech)

    def _append(self, mfcc: np.ndarray, speech: np.ndarray) -> None:
        bands = bands_of(torch.from_numpy(mfcc.reshape(-1, self._n_mfcc))).numpy()
        self._bands = np.concatenate([self._bands, bands])
        self.speech = np.concatenate([self.speech, speech])

    def fill(self, frame: int) -> None:
        """Nothing came for so long that what is before this frame counts as silence."""
        if self.frames < frame:
            self._flush()
            # The features come in blocks, and look ahead.
            self._silence_until((frame + LEAST_BLOCK_FRAMES) * SAMPLES_PER_FRAME)

    def finish(self, n_frames: int) -> None:
        """No more sound; the clip has so many frames."""
        self._flush()
        for mfcc, speech in self._features.end():
            self._append(mfcc, speech)
        missing = max(0, n_frames - self.frames)
        if missing:
            quiet = np.tile(silence(self._n_mfcc), (missing, 1, 1))
            self._append(quiet, np.zeros(missing, bool))
        kept = max(0, n_frames - self.first_frame)
        self._bands, self.speech = self._bands[: kept * HOPS_PER_FRAME], self.speech[:kept]

    @torch.inference_mode()
    def embed(self, shown: int, anew: bool = False) -> None:
        """Bring the embeddings up to date.

        Args:
            shown: frames of the picture so far: sound after them does not count for its level.
            anew: make all of them, whether they seem out of date or not.
        """
        self._count(min(shown, self.frames))
        if not self._levels.count:
            return
        if anew or self._levels.count >= 2 * self._embedded_with:
            self._embedded_with = self._levels.count
            self.version += 1
            self.rows = self.rows[:0]
        # The last row is the first of the piece: the steps after it need the frames to come.
        done = (len(self.rows) + HOPS_PER_FRAME - 1) // HOPS_PER_FRAME
        begin = max(0, done - 1)
        if len(self.speech) - begin < WINDOW_FRAMES + (done > 0):
            return
        level = torch.from_numpy(self._levels.mean).float().to(self._model.log_scale.device)
        variance = float(self._levels.mean[-1] - np.square(self._levels.mean[:-1]).mean())
        bands = torch.from_numpy(self._bands[begin * HOPS_PER_FRAME :])[None].to(level.device)
        deviation = deviation_of(level.new_tensor([[[variance]]]))
        bands = levelled_bands(bands, level[None, None, :-1], deviation)
        rows = embed_bands(self._model, bands)
        self.rows = np.concatenate([self.rows[: begin * HOPS_PER_FRAME], rows])

    def _count(self, stop: int) -> None:
        """Hear the level of the speech before this frame."""
        first, last = (max(0, frame - self.first_frame) for frame in (self._counted, stop))
        if last <= first:
            return
        bands = self._bands[first * HOPS_PER_FRAME : last * HOPS_PER_FRAME]
        spoken = bands[np.repeat(self.speech[first:last], HOPS_PER_FRAME)].astype(np.float64)
        self._levels.add(np.hstack([spoken, np.square(spoken).mean(1, keepdims=True)]))
        self._counted = stop

    def forget(self, frame: int) -> None:
        """What is before this frame is not needed any more."""
        count = min(frame, self.frames) - self.first_frame
        if count <= 0:
            return
        self.first_frame += count
        self.speech = self.speech[count:].copy()
        self._bands = self._bands[count * HOPS_PER_FRAME :].copy()
        self.rows = self.rows[count * HOPS_PER_FRAME :].copy()
