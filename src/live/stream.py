"""Live: pictures and sound as they come -> running score and offset, in bounded memory.

    stream = LipSyncStream(LipSyncInference(), sample_rate=48000)
    result = stream.push_frames(frames, t)      # whenever there are pictures,
    result = stream.push_audio(samples, t)      # whenever there is sound
    print(result.latest.score, result.so_far.offset_ms)
    result = stream.flush()                     # at the end

The rooms are those that files go through. What needs the whole of a file there (the levels that
are removed from picture and sound, who is the largest) is taken of what came so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.constants import FPS, HOPS_PER_FRAME
from ..core.errors import StreamError
from ..i18n.messages import tr
from ..media.frame import to_video_frame
from ..media.reader import RATES, FrameGrid
from ..pipeline.engine import LipSyncInference
from ..scoring.calibration import peak_probability, sync_probability
from ..scoring.evidence import EvidenceSums, peak_ms
from ..scoring.result import status_of
from ..scoring.speakers import largest
from .audio import LiveSound
from .faces import LiveFaces

LONGEST_GAP_S = 60  # pictures and sound further apart than this are on different clocks
LEAST_WINDOW_S = 2.0  # shorter windows hold less than the offsets that are looked for need


@dataclass(frozen=True)
class LiveEstimate:
    """What a stretch of the stream shows; the words are those of ``compute_sync_score``.

    Attributes:
        time_s: its end, on the clock of the times that were pushed.
        score: the chance, 0…1, that the pair as given is in sync; None without evidence.
        offset_ms: how much the sound must be delayed (> 0: it leads); None unless ``ok``.
        probability: 0…1, the chance that the best offset is right, or None.
        status: ``ok``, or why there is no offset: ``no_face``, ``no_speech``, ``too_short``,
            ``weak`` (no clear relation), ``edge`` (it may lie beyond what was looked at).
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
        so_far: of everything since the first picture.
    """

    latest: LiveEstimate
    so_far: LiveEstimate


class LipSyncStream:
    """Judges pictures and sound while they come.

    Times are seconds on one clock, whichever it is; the first picture is the stream's zero. Each
    push returns at once or, every ``every_s`` of the stream, after the result has been brought up
    to date. Several faces: the largest (area times duration of those held) is followed. What is
    held in memory does not grow with the stream's length. Not to be used by several threads at
    once; several streams may share one ``inference``. A drift or a jump of the offset is not told
    apart in ``so_far``; ``latest`` follows it.

    Args:
        inference: the model, its settings and the face detector.
        sample_rate: Hz, of the sound that is pushed.
        window_s: length of ``latest``, at least 2 s.
        every_s: seconds of the stream between two results.
        lead_s: pictures may be ahead of the sound by so much, and the other way round. Then what is
            missing counts as lost (silence, no face) and is not waited for any longer; before the
            first picture, so much of the sound is kept.

    Raises:
        StreamError: a setting is out of range.
    """

    def __init__(
        self,
        inference: LipSyncInference,
        sample_rate: int = 16000,
        window_s: float = 10.0,
        every_s: float = 0.2,
        lead_s: float = 2.0,
    ):
        if not RATES[0] <= sample_rate <= RATES[1] or sample_rate != int(sample_rate):
            raise StreamError(
                tr("a sample rate of {rate} Hz: it must be a whole number from {least} to {most}",
                   rate=sample_rate, least=RATES[0], most=RATES[1])
            )  # fmt: skip
        config, trained = inference.config, inference.trained
        self._reach = config.inference.max_offset_frames * HOPS_PER_FRAME
        least = max(LEAST_WINDOW_S, 2 * config.inference.max_offset_frames / FPS)
        for name, value, low in (
            ("window_s", window_s, least), ("every_s", every_s, 0), ("lead_s", lead_s, 0.2)
        ):  # fmt: skip
            if not low <= value < np.inf:
                raise StreamError(tr("{name} must be at least {least}", name=name, least=low))
        self._calibration = trained.calibration
        self._least_probability = config.inference.min_offset_probability
        self._window, self._every, self._lead = (
            round(seconds * FPS) for seconds in (window_s, every_s, lead_s)
        )
        self._grid = FrameGrid()
        self._faces = LiveFaces(trained.model, inference.detector, config.data, self._reach)
        self._sound = LiveSound(trained.model, config.data.n_mfcc, int(sample_rate), lead_s)
        self._settled = EvidenceSums.nothing(
            self._reach
        )  # of the windows that are not held any more
        self._seen = False  # whether there was a face
        self._shown = 0  # pictures that were pushed
        self._at: dict[str, float] = {}  # time of the latest picture, and of the latest sound
        self._read_at = 0  # frame of the latest result
        self._ended = False
        nothing = LiveEstimate(0.0, None, None, None, "no_face")
        self._result = LiveResult(nothing, nothing)

    def push_frames(self, frames: np.ndarray, t: float | Sequence[float]) -> LiveResult:
        """The next pictures.

        Args:
            frames: uint8 BGR [n, height, width, 3], or one picture [height, width, 3]. They are
                copied.
            t: the time of each in seconds, rising; of one picture a number. Any frame rate; one
                with the time of the one before is left out.

        Raises:
            StreamError: they are something else, or time goes backwards. The stream is as before.
        """
        frames, times = _checked_frames(frames, t)
        self._check_times("picture", times)
        for bgr, at in zip(frames, times, strict=True):
            if at == self._grid.shown_at:
                continue
            if self._grid.first is None:
                self._sound.begin(at)
            for picture in self._grid.add(at, to_video_frame(bgr)):
                self._faces.show(picture)
            self._shown += 1
        return self._updated()

    def push_audio(self, samples: np.ndarray, t: float) -> LiveResult:
        """The next sound.

        Args:
            samples: float32 mono [n] at ``sample_rate``, −1…1, any n.
            t: time of the first one in seconds. Blocks follow each other; where they are further
                apart than 20 ms there is silence, where they overlap, the later one is cut.

        Raises:
            StreamError: it is something else, or time goes backwards. The stream is as before.
        """
        samples, times = _checked_samples(samples, t)
        self._check_times("sound", times)
        self._sound.push(float(times[0]), samples)
        return self._updated()

    def flush(self) -> LiveResult:
        """The end: the result of all that came, also of what was still waited for."""
        if self._ended:
            return self._result
        self._ended = True
        grid = self._grid
        if grid.first is None:
            return self._result
        stands_s = (grid.shown_at - grid.first) / (self._shown - 1) if self._shown > 1 else 1 / FPS
        for picture in grid.end(stands_s):  # the last one, as long as pictures stand on average
            self._faces.show(picture)
        self._faces.end()
        self._sound.finish(grid.index)
        return self._read(anew=True)

    @property
    def held(self) -> dict[str, int]:
        """What is in memory: frames of ``faces``, and numbers of ``sound``."""
        return {
            "faces": sum(face.held for face in self._faces.faces), "sound": self._sound.held
        }  # fmt: skip

    def _check_times(self, kind: str, times: np.ndarray) -> None:
        if self._ended:
            raise StreamError(tr("the stream has ended (flush): begin a new one"))
        if not len(times):
            return
        last = self._at.get(kind, times[0])
        rising = np.concatenate([[last], times])
        if (np.diff(rising) < 0).any():
            place = int(np.argmax(np.diff(rising) < 0))
            raise StreamError(
                tr("time goes backwards: {t:.3f} s after {last:.3f} s; push pictures and sound in "
                   "the order of their times, or begin a new stream",
                   t=rising[place + 1], last=rising[place])
            )  # fmt: skip
        now = max(self._at.values(), default=float(times[0]))
        steps = np.abs(np.diff(np.concatenate([[now], times])))
        if steps.max() > LONGEST_GAP_S:
            place = int(np.argmax(steps > LONGEST_GAP_S))
            raise StreamError(
                tr("time jumps to {t:.3f} s: pictures and sound need one clock, and after a gap of "
                   "more than {s} s a new stream", t=times[place], s=LONGEST_GAP_S)
            )  # fmt: skip
        self._at[kind] = float(times[-1])

    def _updated(self) -> LiveResult:
        """The result, brought up to date if it is time."""
        if self._grid.first is None:
            return self._result
        self._keep_pace()
        now = self._now
        return self._read() if now - self._read_at >= max(self._every, 1) else self._result

    @property
    def _now(self) -> int:
        """The frame up to which both are known."""
        return min(self._grid.index, self._sound.frames)

    def _keep_pace(self) -> None:
        """What is behind the other one by too much counts as lost."""
        self._sound.fill(self._grid.index - self._lead)
        turn = self._grid.first + (self._sound.frames - self._lead) / FPS
        for picture in self._grid.until(turn):
            self._faces.show(picture)

    def _read(self, anew: bool = False) -> LiveResult:
        """The result, and forget what is older than the window."""
        now = self._read_at = self._now
        begin = max(0, now - self._window)
        self._sound.embed(self._grid.index, anew)
        latest, seen = EvidenceSums.nothing(self._reach), False
        for face in largest(self._faces.seen).chosen:
            face.embed(anew)
            rows = face.evidence(self._sound, now)
            old = min(max(0, begin - rows.first_frame), len(rows.similarity))
            self._settled += EvidenceSums.of([rows.part(0, old)])
            latest += EvidenceSums.of([rows.part(old, len(rows.similarity))])
            seen |= face.stop > begin
        self._seen |= seen
        # Before its window, what the offsets reach into the past is needed of the sound.
        self._faces.forget(begin)
        self._sound.forget(begin - self._reach // HOPS_PER_FRAME)
        time_s = float(self._grid.first) + now / FPS
        self._result = LiveResult(
            self._reading(latest, seen, time_s),
            self._reading(self._settled + latest, self._seen, time_s),
        )
        return self._result

    def _reading(self, sums: EvidenceSums, seen: bool, time_s: float) -> LiveEstimate:
        if not seen:
            return LiveEstimate(time_s, None, None, None, "no_face")
        curve = sums.curve()
        score = sync_probability(curve, self._calibration)
        probability = peak_probability(curve, self._calibration)
        status = status_of(curve, score, probability, self._least_probability)
        offset_ms = peak_ms(curve) if status == "ok" else None
        if status in ("no_speech", "too_short"):
            score = probability = None
        return LiveEstimate(time_s, score, offset_ms, probability, status)


def _checked_frames(frames: np.ndarray, t: float | Sequence[float]) -> tuple:
    """uint8 [n, height, width, 3] and float [n]."""
    frames, times = np.asarray(frames), np.asarray(t, float)
    if frames.ndim == 3:
        frames = frames[None]
    times = times.reshape(-1)
    if (
        frames.dtype != np.uint8
        or frames.ndim != 4
        or frames.shape[3] != 3
        or 0 in frames.shape[1:]
    ):
        raise StreamError(
            tr("pictures must be uint8 BGR [n, height, width, 3], not {kind} {shape}",
               kind=frames.dtype, shape=list(frames.shape))
        )  # fmt: skip
    if len(times) != len(frames) or not np.isfinite(times).all():
        raise StreamError(
            tr("{n} pictures need {n} times in seconds, not {times}", n=len(frames), times=t)
        )
    return frames, times


def _checked_samples(samples: np.ndarray, t: float) -> tuple:
    """float32 [n] and float [1]."""
    samples, times = np.asarray(samples), np.asarray(t, float).reshape(-1)
    if samples.dtype != np.float32 or samples.ndim != 1 or not np.isfinite(samples).all():
        raise StreamError(
            tr("the sound must be finite float32 samples [n] of one channel, not {kind} {shape}",
               kind=samples.dtype, shape=list(samples.shape))
        )  # fmt: skip
    if len(times) != 1 or not np.isfinite(times).all():
        raise StreamError(
            tr("the sound needs the time of its first sample in seconds, not {t}", t=t)
        )
    return samples, times
