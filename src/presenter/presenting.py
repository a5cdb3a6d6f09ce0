"""A new speech for a presenter, from the inputs to the file and its figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..core.constants import FPS
from ..core.errors import PresenterError
from ..core.files import file_sha256
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from .base import base_of_footage, locate_base, plan_base
from .choice import Choice, choose_mouths
from .close_lips import LipCloser
from .footage import gather_footage, has_piece, speech_seconds
from .judge import Judge, JudgeFigures
from .learn import check_same_model
from .mouth_shapes import find_shapes
from .mouth_track import MouthTrack, count_joins
from .render import Decorate, render
from .reshape import make_reshaper
from .speech import read_speech
from .store import ClipRecord, Presenter
from .sync_tools import SyncTools

MIN_SPEECH_S, ADVISED_SPEECH_S = 10, 30  # speech in the footage
MIN_FACE_PX, ADVISED_FACE_PX = 60, 100
MAX_PROFILE_SHARE = 0.5
ADVISED_CLOSED_SHARE = 0.05  # of the frames, with the lips shut
POOR_SIMILARITY, POOR_FRAMES = 0.15, 10  # so many frames in a row below it have no good frames
GOOD_IN_SYNC = 0.9  # share of the seconds, below which a warning is given


class WeakSpan(BaseModel):
    """A stretch of speech for which the footage holds no good frames.

    Attributes:
        start_s, end_s: seconds.
        words: about what is said there; empty: not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_s: float
    end_s: float
    words: str = ""


class Presented(BaseModel):
    """What was made.

    Attributes:
        output: the file.
        duration_s: of the video.
        frames: number of its frames.
        joins_per_s: joins between two pieces of footage.
        judged: figures of the judge; None: it was not asked.
        real_confidence: of the judge, in the person's own footage; None: unknown.
        weak_spans: speech without good frames.
        warnings: texts, what a user should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: str
    duration_s: float
    frames: int
    joins_per_s: float
    judged: JudgeFigures | None
    real_confidence: float | None
    weak_spans: list[WeakSpan]
    warnings: list[str]

    @property
    def closeness(self) -> float | None:
        """The judge's confidence as a share of that in the person's own footage."""
        if not self.real_confidence or self.judged is None or self.judged.confidence is None:
            return None
        return self.judged.confidence / self.real_confidence


@dataclass(frozen=True)
class PresentOptions:
    """How a speech is presented.

    Attributes:
        face: whose mouth in the base, as in ``speakers.choose_faces``.
        decorate: draws into each frame (a label).
        closures_s: float [n, 2], sounds that shut the lips, seconds; None: not known.
        words_between: what is said from one time to another, seconds; None: not known.
    """

    face: str | int = "speaking"
    decorate: Decorate | None = None
    closures_s: np.ndarray | None = None
    words_between: Callable[[float, float], str] | None = None


def check_footage(presenter: Presenter) -> list[str]:
    """Refuse footage that gives no good result.

    Returns:
        what would help, in words.

    Raises:
        PresenterError: with the reason.
    """
    records = [clip.record for clip in presenter.clips]
    face_px = float(np.average(
        [r.face_px for r in records], weights=[len(c.grid) for c in presenter.clips]
    ))  # fmt: skip
    profile = float(np.average(
        [r.profile_share for r in records], weights=[len(c.frames) for c in presenter.clips]
    ))  # fmt: skip
    speech_s = speech_seconds(presenter)
    if face_px < MIN_FACE_PX:
        raise PresenterError(
            tr("the face in the footage is only {px} pixels wide: at least {least} are required; "
               "film it closer or larger", px=int(face_px), least=MIN_FACE_PX)
        )  # fmt: skip
    if profile > MAX_PROFILE_SHARE:
        raise PresenterError(
            tr("the head is turned away in {percent}% of the footage: film it from the front",
               percent=round(100 * profile))
        )  # fmt: skip
    if speech_s < MIN_SPEECH_S:
        raise PresenterError(
            tr("the footage shows only {s:.0f} s of speech: at least {least} s are required, and "
               "{advised} s are better", s=int(speech_s), least=MIN_SPEECH_S,
               advised=ADVISED_SPEECH_S)
        )  # fmt: skip
    if all(record.offset_ms is None for record in records):
        raise PresenterError(
            tr("lips and audio of the footage show no clear correlation: use footage in which the "
               "person's own voice is heard")
        )  # fmt: skip
    return _advice(records, presenter, speech_s, face_px)


def _advice(
    records: list[ClipRecord], presenter: Presenter, speech_s: float, face_px: float
) -> list[str]:
    advice = []
    if speech_s < ADVISED_SPEECH_S:
        advice.append(
            tr("only {s:.0f} s of speech in the footage: with {advised} s and more the mouth has "
               "more to choose from", s=speech_s, advised=ADVISED_SPEECH_S)
        )  # fmt: skip
    if face_px < ADVISED_FACE_PX:
        advice.append(
            tr("the face in the footage is only {px} pixels wide: from {advised} on it looks sharp",
               px=round(face_px), advised=ADVISED_FACE_PX)
        )  # fmt: skip
    closed = np.average(
        [r.closed_share for r in records], weights=[len(c.grid) for c in presenter.clips]
    )
    if closed < ADVISED_CLOSED_SHARE:
        advice.append(tr("the lips are hardly ever shut in the footage: record 15 s of silence"))
    advice += [
        tr("{name}: its lips and audio show no clear correlation; its frames are used all the same",
           name=record.name)
        for record in records if record.offset_ms is None
    ]  # fmt: skip
    return advice


def present(
    presenter: Presenter,
    base_path: str | Path,
    audio_path: str | Path,
    output_path: Path,
    tools: SyncTools,
    judge: Judge | None = None,
    options: PresentOptions | None = None,
    progress: Progress = no_progress,
) -> Presented:
    """Lay the mouth for a new speech onto a video of the presenter.

    Args:
        presenter: whose footage is chosen from.
        base_path: a video of the same person; it goes on as long as the speech.
        audio_path: the speech.
        output_path: .mp4, .mov or .mkv; appears complete or not at all.
        tools: the sync model that made the presenter.
        judge: measures the result; None: nobody does.
        progress: reports each stage; to cancel, it raises an exception of its own.

    Raises:
        MediaError: an input cannot be read.
        PresenterError: the footage or the speech gives no good result.
        OutputError: the output cannot be written.
    """
    options = options or PresentOptions()
    check_same_model(presenter.name, presenter.record, tools)
    warnings = check_footage(presenter)
    footage = gather_footage(presenter)
    if not has_piece(footage):
        raise PresenterError(tr("the footage of {name} holds no stretch of three usable frames",
                                name=presenter.name))  # fmt: skip
    shapes, why_not = find_shapes(presenter)
    if why_not is not None:
        warnings.append(why_not)
    speech = read_speech(audio_path, tools)
    own_clip = find_own_clip(presenter, base_path)
    own = None if own_clip is None else presenter.clips[own_clip]
    if own is not None and own.record.face == str(options.face):
        base = base_of_footage(own, base_path)
    else:
        base = locate_base(base_path, audio_path, tools, options.face, progress)
    plan = plan_base(base, speech.duration_s)
    choice = choose_mouths(footage, speech, base, plan, options.closures_s, own_clip)
    reshaper = None
    if shapes is not None:
        reshaper = make_reshaper(shapes, presenter, footage, speech, choice, tools.model.spec)
    closer = LipCloser(choice, footage.closed_below)
    mouths = MouthTrack(presenter, footage, choice.frames, reshaper, closer)
    render(base, plan, mouths, audio_path, output_path, progress, options.decorate)
    judged = None
    if judge is not None:
        judged = judge.measure(output_path, face="largest", progress=progress)
    weak = find_weak_spans(choice)
    if options.words_between is not None:
        weak = [
            span.model_copy(update={"words": options.words_between(span.start_s, span.end_s)})
            for span in weak
        ]
    if judged is not None and judged.in_sync is not None and judged.in_sync < GOOD_IN_SYNC:
        warnings.append(
            tr("only {percent}% of the seconds with speech are in sync, as an independent network "
               "measures it", percent=round(100 * judged.in_sync))
        )  # fmt: skip
    return Presented(
        output=str(output_path),
        duration_s=round(float(plan.times[-1]) + base.frame_s, 3),
        frames=len(plan.numbers),
        joins_per_s=round(count_joins(mouths.pieces, footage.frames.follows)
                          / speech.duration_s, 2),
        judged=judged,
        real_confidence=_real_confidence(presenter),
        weak_spans=weak,
        warnings=warnings,
    )  # fmt: skip


def find_own_clip(presenter: Presenter, base_path: str | Path) -> int | None:
    """The number of the presenter's clip that is the base; None: none is."""
    sha256 = file_sha256(base_path)
    numbers = [n for n, clip in enumerate(presenter.clips) if clip.record.sha256 == sha256]
    return numbers[0] if numbers else None


def _real_confidence(presenter: Presenter) -> float | None:
    """Of the judge in the person's own footage, weighted by the length of the clips."""
    known = [c for c in presenter.clips if c.record.real_confidence is not None]
    if not known:
        return None
    weights = [len(clip.grid) for clip in known]
    return float(np.average([clip.record.real_confidence for clip in known], weights=weights))


def find_weak_spans(choice: Choice) -> list[WeakSpan]:
    """Stretches of speech for which the chosen frames fit badly."""
    is_poor = np.nan_to_num(choice.similarity, nan=1.0) < POOR_SIMILARITY
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_poor, [False]]).astype(int)))
    return [
        WeakSpan(start_s=round(first / FPS, 2), end_s=round(stop / FPS, 2))
        for first, stop in edges.reshape(-1, 2)
        if stop - first >= POOR_FRAMES
    ]
