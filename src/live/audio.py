"""Audio that arrives in blocks -> audio embeddings of the last seconds.

The processing is that of files (``media.reader.audio_blocks``, ``audio.features``,
``embedding.embed_audio``), except that the mean spectrum that is removed is that of the speech so
far. All embeddings are recomputed whenever the amount of speech has doubled.
"""

from collections import deque

import av
import numpy as np
import torch

from ..audio.features import MIN_BLOCK_FRAMES, FeatureStream, silent_mfcc
from ..core.constants import (
    FPS,
    HOPS_PER_FRAME,
    N_MELS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    WINDOW_FRAMES,
)
from ..media.reader import resample
from ..models.embedding import embed_bands
from ..models.normalization import RunningLevels, mfcc_to_bands, normalise_bands
from ..models.sync_model import SyncModel

# A block that begins further than this from the end of the previous one is placed by its own time.
# Sound cards stamp blocks of 10–20 ms with the time at which they were fetched.
JITTER_S = 0.02
LEVEL_HOPS = 60 * FPS * HOPS_PER_FRAME  # hops of speech after which older ones fade


class LiveAudio:
    """The last seconds of audio as features and embeddings; frame 0 is the first video frame.

    Args:
        model: computes the embeddings.
        n_mfcc: coefficients a hop.
        sample_rate: Hz, of what is pushed.
        lead_s: seconds of audio that are buffered before the first video frame.

    Attributes:
        first_frame: the first frame in memory.
        speech: bool [F], by frame from there on.
        embeddings: float32 [4 (F' − 4) − 3, D], every 10 ms from there on, of the F' ≤ F frames
            that are embedded so far.
        version: changes when existing embeddings are recomputed.
    """

    def __init__(self, model: SyncModel, n_mfcc: int, sample_rate: int, lead_s: float):
        self._model, self._n_mfcc = model, n_mfcc
        self._sample_rate, self._lead_s = sample_rate, lead_s
        self._features = FeatureStream(n_mfcc, MIN_BLOCK_FRAMES)
        self._start_s: float | None = None  # time of frame 0
        self._buffered = deque()  # (time, samples) before frame 0
        self._resampler: av.AudioResampler | None = None
        self._expected_s = 0.0  # when the next block is due
        # Sample positions at 16 kHz after frame 0: of the next sample out of the resampler, and of
        # the next one into the features.
        self._position = self._n_fed = 0
        self.first_frame, self.version = 0, 0
        self.speech = np.zeros(0, bool)
        self._bands = np.zeros((0, N_MELS), np.float32)  # dB, four hops a frame
        self.embeddings = np.zeros((0, model.spec.output_dim), np.float32)
        self._levels = RunningLevels(N_MELS, LEVEL_HOPS)
        self._n_measured = 0  # frames that are part of the levels
        self._count_at_embedding = 0  # hops in the levels when all was last embedded

    @property
    def stop_frame(self) -> int:
        """The frame after the last one with features."""
        return self.first_frame + len(self.speech)

    @property
    def stop_hop(self) -> int:
        """The hop after the last one with an embedding, counted from frame 0."""
        return self.first_frame * HOPS_PER_FRAME + len(self.embeddings)

    @property
    def n_values(self) -> int:
        """Numbers in memory."""
        n_buffered = sum(len(samples) for _, samples in self._buffered)
        return self._bands.size + self.embeddings.size + self.speech.size + n_buffered

    def start(self, time_s: float) -> None:
        """The first video frame has this time."""
        self._start_s = time_s
        while self._buffered:
            self.push(*self._buffered.popleft())

    def push(self, time_s: float, samples: np.ndarray) -> None:
        """The next float32 [n] samples, the first of which has this time."""
        if self._start_s is None:
            self._buffered.append((time_s, samples.copy()))
            while time_s - self._buffered[0][0] > self._lead_s:
                self._buffered.popleft()
            return
        if self._resampler is None or abs(time_s - self._expected_s) > JITTER_S:
            self._flush_resampler()
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            self._expected_s = time_s
            self._position = round((time_s - self._start_s) * SAMPLE_RATE)
        self._expected_s += len(samples) / self._sample_rate
        if len(samples):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
            frame.sample_rate = self._sample_rate
            for block in resample(self._resampler, frame):
                self._place(block[0])

    def _flush_resampler(self) -> None:
        for block in resample(self._resampler, None):
            self._place(block[0])
        self._resampler = None

    def _place(self, samples: np.ndarray) -> None:
        """Feed samples at 16 kHz at their position; a gap is silence, an overlap is skipped."""
        self._feed_silence(self._position)
        self._feed(samples[max(0, self._n_fed - self._position) :])
        self._position += len(samples)

    def _feed_silence(self, stop_sample: int) -> None:
        while self._n_fed < stop_sample:
            self._feed(np.zeros(min(SAMPLE_RATE, stop_sample - self._n_fed), np.float32))

    def _feed(self, samples: np.ndarray) -> None:
        self._n_fed += len(samples)
        for mfcc, speech in self._features.push(samples):
            self._append(mfcc, speech)

    def _append(self, mfcc: np.ndarray, speech: np.ndarray) -> None:
        bands = mfcc_to_bands(torch.from_numpy(mfcc.reshape(-1, self._n_mfcc))).numpy()
        self._bands = np.concatenate([self._bands, bands])
        self.speech = np.concatenate([self.speech, speech])

    def fill_silence(self, stop_frame: int) -> None:
        """Count as silence what has not arrived before this frame."""
        if self.stop_frame < stop_frame:
            self._flush_resampler()
            # The features come in blocks, and look ahead.
            self._feed_silence((stop_frame + MIN_BLOCK_FRAMES) * SAMPLES_PER_FRAME)

    def finish(self, n_frames: int) -> None:
        """The audio has ended; the video has this many frames."""
        self._flush_resampler()
        for mfcc, speech in self._features.end():
            self._append(mfcc, speech)
        n_missing = max(0, n_frames - self.stop_frame)
        if n_missing:
            mfcc = np.tile(silent_mfcc(self._n_mfcc), (n_missing, 1, 1))
            self._append(mfcc, np.zeros(n_missing, bool))
        n_kept = max(0, n_frames - self.first_frame)
        self._bands, self.speech = self._bands[: n_kept * HOPS_PER_FRAME], self.speech[:n_kept]

    @torch.inference_mode()
    def update_embeddings(self, n_video_frames: int, recompute: bool = False) -> None:
        """Embed what is new, or everything if the levels have changed much.

        Args:
            n_video_frames: frames of the video so far: audio after them does not count for the
                levels.
            recompute: embed everything in any case.
        """
        self._measure(min(n_video_frames, self.stop_frame))
        if not self._levels.count:
            return
        if recompute or self._levels.count >= 2 * self._count_at_embedding:
            self._count_at_embedding = self._levels.count
            self.version += 1
            self.embeddings = self.embeddings[:0]
        # The last embedding is recomputed: the hops after it need the frames that follow.
        n_done = (len(self.embeddings) + HOPS_PER_FRAME - 1) // HOPS_PER_FRAME
        first = max(0, n_done - 1)
        if len(self.speech) - first < WINDOW_FRAMES + (n_done > 0):
            return
        device = self._model.log_scale.device
        bands = torch.from_numpy(self._bands[first * HOPS_PER_FRAME :])[None].to(device)
        bands = normalise_bands(bands, *self._levels.band_levels(device))
        embeddings = embed_bands(self._model, bands)
        self.embeddings = np.concatenate([self.embeddings[: first * HOPS_PER_FRAME], embeddings])

    def _measure(self, stop_frame: int) -> None:
        """Add the speech before this frame to the levels."""
        first, stop = (max(0, n - self.first_frame) for n in (self._n_measured, stop_frame))
        if stop <= first:
            return
        bands = self._bands[first * HOPS_PER_FRAME : stop * HOPS_PER_FRAME]
        self._levels.add_bands(bands[np.repeat(self.speech[first:stop], HOPS_PER_FRAME)])
        self._n_measured = stop_frame

    def drop_before(self, frame: int) -> None:
        """Drop what lies before this frame."""
        n_dropped = min(frame, self.stop_frame) - self.first_frame
        if n_dropped <= 0:
            return
        self.first_frame += n_dropped
        self.speech = self.speech[n_dropped:].copy()
        self._bands = self._bands[n_dropped * HOPS_PER_FRAME :].copy()
        self.embeddings = self.embeddings[n_dropped * HOPS_PER_FRAME :].copy()
