"""Live video and audio -> running score and offset, in bounded memory.

    stream = LipSyncStream(LipSyncInference(), sample_rate=48000)
    result = stream.push_frames(frames, t)      # whenever frames arrive
    result = stream.push_audio(samples, t)      # whenever audio arrives
    print(result.latest.score, result.so_far.offset_ms)
    result = stream.flush()                     # at the end

The processing is that of files. What depends on the whole of a file there (the levels that are
removed from video and audio, which face is the largest) depends here on what has arrived so far.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.constants import FPS, HOPS_PER_FRAME, SAMPLE_RATE
from ..core.errors import StreamError
from ..i18n.messages import tr
from ..media.frame import to_video_frame
from ..media.reader import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, MIN_VIDEO_GAP_S, FrameGrid
from ..pipeline.engine import LipSyncInference
from ..scoring.calibration import peak_probability, sync_probability
from ..scoring.evidence import EvidenceSums, peak_ms
from ..scoring.result_builder import status_of
from ..scoring.speakers import choose_largest
from .channels import LiveChannels
from .faces import LiveFaces

MAX_GAP_S = 60  # video and audio further apart than this are on different clocks
MIN_WINDOW_S = 2.0  # shorter windows hold less than the search range needs
MIN_LEAD_S = 0.2
MAX_CHANNELS = 16
INTERVALS = 50  # between frames, from which the duration of the last one is taken


@dataclass(frozen=True)
class LiveEstimate:
    """The result of a span of the stream, in the terms of ``compute_sync_score``.

    Attributes:
        time_s: end of the span, on the clock of the times that were pushed.
        score: 0…1, probability that the pair as given is in sync; None without evidence.
        offset_ms: the audio must be delayed by so much (> 0: it leads); None unless ``ok``.
        probability: 0…1, probability that the best offset is correct, or None.
        status: ``ok``, or why there is no offset: ``no_face``, ``no_speech``, ``too_short``,
            ``weak`` (no clear correlation), ``edge`` (it may lie beyond the search range).
    """

    time_s: float
    score: float | None
    offset_ms: float | None
    probability: float | None
    status: str


@dataclass(frozen=True)
class LiveResult:
    """The running result.

    Attributes:
        latest: of the last seconds (``window_s``).
        so_far: of everything since the first frame.
        audio_channel: the only channel of the audio that is used, from 1; None: the mean of all.
    """

    latest: LiveEstimate
    so_far: LiveEstimate
    audio_channel: int | None = None


class LipSyncStream:
    """Scores video and audio while they arrive.

    Times are seconds on one clock, whichever it is; the stream begins with the first frame. A push
    returns at once or, every ``every_s`` of the stream, after the result has been updated. Of
    several faces on screen the largest (area times duration of those in memory) is scored. Memory
    does not grow with the length of the stream. A stream is not thread-safe; several streams may
    share one ``inference``. ``so_far`` takes the offset for constant, even where it drifts or
    jumps; ``latest`` follows it.

    Args:
        inference: the model, its settings and the face detector.
        sample_rate: Hz, of the audio that is pushed.
        window_s: length of ``latest``, at least 2 s.
        every_s: seconds of the stream between two results.
        lead_s: seconds that video and audio may be ahead of each other. What is later counts as
            lost (silence, no face) and is not waited for; before the first frame, so much of the
            audio is buffered.
        channels: of the audio that is pushed, 1 to 16. Their mean is taken; where the others cancel
            or cover the speech of one, it is used alone.

    Raises:
        StreamError: a setting is out of range.
        ConfigError: ``inference`` has exported encoders only, or PyTorch is not installed.
    """

    def __init__(
        self,
        inference: LipSyncInference,
        sample_rate: int = SAMPLE_RATE,
        window_s: float = 10.0,
        every_s: float = 0.2,
        lead_s: float = 2.0,
        channels: int = 1,
    ):
        config, trained = inference.config, inference.in_torch()
        max_offset_frames = config.inference.max_offset_frames
        _check_sample_rate(sample_rate)
        _check_at_least("window_s", window_s, max(MIN_WINDOW_S, 2 * max_offset_frames / FPS))
        _check_at_least("every_s", every_s, 0)
        _check_at_least("lead_s", lead_s, MIN_LEAD_S)
        if channels not in range(1, MAX_CHANNELS + 1):
            raise StreamError(
                tr("channels = {n}: must be 1 to {most}", n=channels, most=MAX_CHANNELS)
            )
        self._n_channels = channels
        self._reach = max_offset_frames * HOPS_PER_FRAME
        self._calibration = trained.calibration
        self._min_probability = config.inference.min_offset_probability
        self._window_frames, self._every_frames, self._lead_frames = (
            round(seconds * FPS) for seconds in (window_s, every_s, lead_s)
        )
        self._grid = FrameGrid()
        self._faces = LiveFaces(trained.model, inference.detector, config.data, self._reach)
        self._audio = LiveChannels(
            trained.model, config.data.n_mfcc, int(sample_rate), lead_s, channels
        )
        self._past = EvidenceSums.empty(self._reach)  # of windows that have been dropped
        self._had_face = False
        self._intervals_s = deque(maxlen=INTERVALS)  # between the latest frames
        self._latest_s: dict[str, float] = {}  # time of the latest frame and of the latest audio
        self._updated_at = 0  # frame of the latest result
        self._has_ended = False
        nothing = LiveEstimate(0.0, None, None, None, "no_face")
        self._result = LiveResult(nothing, nothing)

    def push_frames(self, frames: np.ndarray, t: float | Sequence[float]) -> LiveResult:
        """The next frames of the video.

        Args:
            frames: uint8 BGR [n, height, width, 3], or one frame [height, width, 3]. They are
                copied.
            t: the time of each in seconds, rising; of a single frame a number. Any frame rate; a
                frame with the time of the previous one is skipped.

        Raises:
            StreamError: the input is invalid, or time goes backwards. The stream is unchanged.
        """
        frames, times = _checked_frames(frames, t)
        self._check_times("video", times)
        for bgr, time_s in zip(frames, times, strict=True):
            if time_s == self._grid.latest_s:
                continue
            if self._grid.first_s is None:
                self._audio.start(time_s)
            else:
                self._intervals_s.append(time_s - self._grid.latest_s)
            for frame in self._grid.add(time_s, to_video_frame(bgr)):
                self._faces.add_frame(frame)
        return self._updated_result()

    def push_audio(self, samples: np.ndarray, t: float) -> LiveResult:
        """The next block of audio.

        Args:
            samples: float32 at ``sample_rate``, −1…1, any n: mono [n], or [n, channels].
            t: time of the first sample in seconds. Blocks follow each other; a gap of more than
                20 ms is filled with silence, where blocks overlap, the later one is trimmed.

        Raises:
            StreamError: the input is invalid, or time goes backwards. The stream is unchanged.
        """
        samples, times = _checked_samples(samples, t, self._n_channels)
        self._check_times("audio", times)
        self._audio.push(float(times[0]), samples)
        return self._updated_result()

    def flush(self) -> LiveResult:
        """End the stream: the result of everything, with what was still buffered."""
        if self._has_ended:
            return self._result
        self._has_ended = True
        grid = self._grid
        if grid.first_s is None:
            return self._result
        # The last frame is displayed as long as most are: in the mean, gaps would count.
        intervals_s = [interval for interval in self._intervals_s if interval <= MIN_VIDEO_GAP_S]
        duration_s = float(np.median(intervals_s)) if intervals_s else 1 / FPS
        for frame in grid.end(duration_s):
            self._faces.add_frame(frame)
        self._faces.finish()
        self._audio.finish(grid.index)
        return self._update(recompute=True)

    @property
    def memory_use(self) -> dict[str, int]:
        """What is in memory: ``frames`` of faces, and ``audio_values``, numbers."""
        n_frames = sum(track.n_frames for track in self._faces.tracks)
        return {"frames": n_frames, "audio_values": self._audio.n_values}

    def _check_times(self, stream: str, times: np.ndarray) -> None:
        """Accept the times of the next input of a stream (``video``, ``audio``), or raise."""
        if self._has_ended:
            raise StreamError(tr("the stream has ended (flush): start a new one"))
        if not len(times):
            return
        rising = np.concatenate([[self._latest_s.get(stream, times[0])], times])
        backwards = np.flatnonzero(np.diff(rising) < 0)
        if len(backwards):
            index = backwards[0]
            raise StreamError(
                tr("time goes backwards: {t:.3f} s after {last:.3f} s; push frames and audio in "
                   "order of time, or start a new stream", t=rising[index + 1], last=rising[index])
            )  # fmt: skip
        latest_s = max(self._latest_s.values(), default=float(times[0]))
        gaps = np.abs(np.diff(np.concatenate([[latest_s], times])))
        if gaps.max() > MAX_GAP_S:
            raise StreamError(
                tr("time jumps to {t:.3f} s: video and audio need a common clock; after a gap of "
                   "more than {s} s, start a new stream",
                   t=times[np.argmax(gaps > MAX_GAP_S)], s=MAX_GAP_S)
            )  # fmt: skip
        self._latest_s[stream] = float(times[-1])

    def _updated_result(self) -> LiveResult:
        """The result, updated if it is time."""
        if self._grid.first_s is None:
            return self._result
        self._give_up_late_input()
        is_due = self._known_frames - self._updated_at >= max(self._every_frames, 1)
        return self._update() if is_due else self._result

    @property
    def _known_frames(self) -> int:
        """The frame up to which both streams are known."""
        return min(self._grid.index, self._audio.stop_frame)

    def _give_up_late_input(self) -> None:
        """Count as lost what is too far behind the other stream."""
        self._audio.fill_silence(self._grid.index - self._lead_frames)
        stop_s = self._grid.first_s + (self._audio.stop_frame - self._lead_frames) / FPS
        for frame in self._grid.repeat(stop_s):
            self._faces.add_frame(frame)

    def _update(self, recompute: bool = False) -> LiveResult:
        """Update the result, and drop what is older than the window."""
        stop = self._updated_at = self._known_frames
        start = max(0, stop - self._window_frames)
        self._audio.update_embeddings(self._grid.index, recompute)
        latest, has_face = EvidenceSums.empty(self._reach), False
        for track in choose_largest(self._faces.usable_tracks()).chosen:
            track.update_embeddings(recompute)
            evidence = track.compare(self._audio, stop)
            n_windows = len(evidence.similarity)
            n_past = min(max(0, start - evidence.first_frame), n_windows)
            self._past += EvidenceSums.of([evidence.part(0, n_past)])
            latest += EvidenceSums.of([evidence.part(n_past, n_windows)])
            has_face |= track.stop > start
        self._had_face |= has_face
        # Of the audio, the search range before the window is needed, too.
        self._faces.drop_before(start)
        self._audio.drop_before(start - self._reach // HOPS_PER_FRAME)
        time_s = float(self._grid.first_s) + stop / FPS
        self._result = LiveResult(
            self._estimate(latest, has_face, time_s),
            self._estimate(self._past + latest, self._had_face, time_s),
            self._audio.channel,
        )
        return self._result

    def _estimate(self, sums: EvidenceSums, has_face: bool, time_s: float) -> LiveEstimate:
        if not has_face:
            return LiveEstimate(time_s, None, None, None, "no_face")
        curve = sums.curve()
        score = sync_probability(curve, self._calibration)
        probability = peak_probability(curve, self._calibration)
        status = status_of(curve, score, probability, self._min_probability)
        offset_ms = peak_ms(curve) if status == "ok" else None
        if status in ("no_speech", "too_short"):
            score = probability = None
        return LiveEstimate(time_s, score, offset_ms, probability, status)


def _check_sample_rate(sample_rate: float) -> None:
    is_whole = sample_rate == int(sample_rate)
    if not (MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE and is_whole):
        raise StreamError(
            tr("a sample rate of {rate} Hz: it must be a whole number from {least} to {most}",
               rate=sample_rate, least=MIN_SAMPLE_RATE, most=MAX_SAMPLE_RATE)
        )  # fmt: skip


def _check_at_least(name: str, value: float, least: float) -> None:
    if not least <= value < np.inf:
        raise StreamError(tr("{name} must be at least {least}", name=name, least=least))


def _checked_frames(frames: np.ndarray, t: float | Sequence[float]) -> tuple:
    """uint8 [n, height, width, 3] and float [n]."""
    frames, times = np.asarray(frames), np.asarray(t, float)
    if frames.ndim == 3:
        frames = frames[None]
    times = times.reshape(-1)
    is_bgr = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3
    if not is_bgr or 0 in frames.shape[1:]:
        raise StreamError(
            tr("frames must be uint8 BGR [n, height, width, 3], not {kind} {shape}",
               kind=frames.dtype, shape=list(frames.shape))
        )  # fmt: skip
    if len(times) != len(frames) or not np.isfinite(times).all():
        raise StreamError(
            tr("{n} frames need {n} times in seconds, not {times}", n=len(frames), times=t)
        )
    return frames, times


def _checked_samples(samples: np.ndarray, t: float, n_channels: int) -> tuple:
    """float32 [n] or [n, channels], and float [1]."""
    samples, times = np.asarray(samples), np.asarray(t, float).reshape(-1)
    is_shaped = samples.ndim == 1 or (samples.ndim == 2 and samples.shape[1] == n_channels)
    if samples.dtype != np.float32 or not is_shaped or not np.isfinite(samples).all():
        raise StreamError(
            tr("audio must be finite float32 samples, mono [n] or [n, {channels}], not {kind} "
               "{shape}", channels=n_channels, kind=samples.dtype, shape=list(samples.shape))
        )  # fmt: skip
    if len(times) != 1 or not np.isfinite(times).all():
        raise StreamError(tr("audio needs the time of its first sample in seconds, not {t}", t=t))
    return samples, times
