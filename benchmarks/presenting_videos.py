"""Makes a video of a person with new speech, by any of the ways, and measures it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.presenting_baselines import (
    frames_by_loudness,
    frozen_frames,
    measure_loudness,
    random_frames,
)
from benchmarks.presenting_inputs import Recording
from benchmarks.presenting_measures import (
    MouthFigures,
    closures_reached,
    compare_mouths,
    correlation,
    excess_share,
    fast_part,
    long_silences,
    lower_face,
    measure_mouths,
    mouth_of,
    open_share,
    relative_mean,
    relative_to,
)
from src.media.frame_access import frames_in_order
from src.media.reader import read_audio, source_frames
from src.models.spec import ModelSpec
from src.presenter.base import BasePlan, BaseVideo
from src.presenter.choice import Choice, choose_mouths
from src.presenter.close_lips import LipCloser
from src.presenter.footage import Footage
from src.presenter.judge import Judge, JudgeFigures
from src.presenter.mouth_shapes import MouthShapes
from src.presenter.mouth_track import MouthTrack, count_joins
from src.presenter.presenting import find_own_clip
from src.presenter.render import render
from src.presenter.reshape import make_reshaper
from src.presenter.store import Presenter

METHOD = "method"
TRAINED = "trained"  # the method, its frames warped into the trained shapes
SHAPED = (TRAINED, "own trained")
STAGES = ("real", "base_with_new_audio", "frozen", "loudness", "random", TRAINED, "own", SHAPED[1])
ORDER = (*STAGES[:-3], METHOD, *STAGES[-3:])  # of the rows
# A mouth in silence counts as open above the gap that counts as shut, with a margin: it is found
# anew, in other pixels.
OPEN_MARGIN = 1.25
SECOND_CHIN = 1.5  # times the real edges below the chin
FigureDict = dict[str, float | None]


@dataclass(frozen=True)
class Trial:
    """A recording over a base.

    Attributes:
        recording: the audio.
        plan: the frames of the base under it.
        is_own: whether it is the audio of these very frames.
    """

    recording: Recording
    plan: BasePlan
    is_own: bool = False


@dataclass(frozen=True)
class Subject:
    """A person, ready to be measured.

    Attributes:
        name: of the person.
        presenter, footage: without what is held out.
        base: their first clip.
        offset_ms: of its audio.
        old_audio: file with the beginning of its audio, in sync.
        judged: figures of the judge for the base itself.
        real: figures of all frames of the base.
        is_spoken: bool [N], frames of the base in which the person speaks.
        shapes: of the mouth, trained on the footage; None: they are not asked for.
        spec: of the sync model.
    """

    name: str
    presenter: Presenter
    footage: Footage
    base: BaseVideo
    offset_ms: float
    old_audio: Path
    judged: JudgeFigures
    real: MouthFigures
    is_spoken: np.ndarray
    shapes: MouthShapes | None
    spec: ModelSpec


def choose(stage: str, subject: Subject, trial: Trial, hand_over_closures: bool) -> Choice:
    """The footage frame for each output frame."""
    footage, speech = subject.footage, trial.recording.speech
    n_frames = len(speech.embedding)
    if stage == "random":
        return _without_choice(random_frames(footage, n_frames))
    if stage == "loudness":
        loudness = measure_loudness(read_audio(speech.path), n_frames)
        return _without_choice(frames_by_loudness(footage, loudness))
    if stage in ("frozen", "base_with_new_audio"):
        return _without_choice(frozen_frames(footage, n_frames))
    closures_s = trial.recording.closures_s if hand_over_closures else None
    own_clip = find_own_clip(subject.presenter, subject.base.path)
    return choose_mouths(footage, speech, subject.base, trial.plan, closures_s, own_clip)


def _without_choice(frames: np.ndarray) -> Choice:
    nowhere = np.zeros(len(frames), bool)
    return Choice(frames, np.zeros(len(frames), np.float32), nowhere, nowhere)


def with_old_mouth(base: BaseVideo) -> BaseVideo:
    """A base that no mouth is laid onto."""
    return replace(base, has_face=np.zeros_like(base.has_face))


def figures_of(
    subject: Subject, trial: Trial, judged: JudgeFigures, made: MouthFigures
) -> FigureDict:
    """What is measured in any video: by the judge, and in its frames against the real ones."""
    closed_below, real = subject.footage.closed_below, subject.real.at(trial.plan.numbers)
    times, speech = trial.plan.times, trial.recording.speech
    silent = speech.silent & long_silences(speech.has_speech)
    spans = trial.recording.closures_s
    closures = None
    if spans is not None:
        reached = closures_reached(made.opening, times, spans, closed_below)
        closures = float(reached.mean()) if len(reached) else None
    confidence, real_confidence = judged.confidence, subject.judged.confidence
    is_known = confidence is not None and real_confidence
    return {
        "confidence": confidence,
        "relative_confidence": confidence / real_confidence if is_known else None,
        "in_sync": judged.in_sync,
        "windows": judged.windows,
        "absolute_offset_ms": None if judged.offset_ms is None else abs(judged.offset_ms),
        "correlation": correlation(made.opening, real.opening),
        "fast_correlation": correlation(
            fast_part(made.opening, subject.base.fps), fast_part(real.opening, subject.base.fps)
        ),
        "open_in_silence": open_share(made.opening, times, silent, OPEN_MARGIN * closed_below),
        "closures": closures,
        "sharpness": relative_to(made.sharpness, subject.real.sharpness[subject.is_spoken]),
        "flicker": relative_to(made.change, subject.real.change[subject.is_spoken]),
        "edge": relative_mean(made.edge, real.edge),
        "second_chin": excess_share(made.chin, real.chin, SECOND_CHIN),
    }


def measure_real(subject: Subject, trial: Trial) -> FigureDict:
    """The base as it is, its audio in sync."""
    judged = subject.judged
    if judged.offset_ms is not None:
        error_ms = judged.offset_ms - subject.offset_ms
        judged = judged.model_copy(update={"offset_ms": error_ms})
    return figures_of(subject, trial, judged, subject.real.at(trial.plan.numbers))


def measure_made(
    stage: str, subject: Subject, trial: Trial, judge: Judge, output: Path,
    hand_over_closures: bool = False,
) -> FigureDict:  # fmt: skip
    """Make a video and measure it.

    Args:
        stage: of ``ORDER``.
        output: the video.
        hand_over_closures: the method is given the times of b, p and m.

    Raises:
        LipSyncError: it cannot be made or judged.
    """
    base, plan, audio = subject.base, trial.plan, trial.recording.speech.path
    start_s = time.perf_counter()
    choice = choose(stage, subject, trial, hand_over_closures)
    reshaper = None
    if stage in SHAPED:
        reshaper = make_reshaper(
            subject.shapes, subject.presenter, subject.footage, trial.recording.speech, choice,
            subject.spec,
        )  # fmt: skip
    closer = LipCloser(choice, subject.footage.closed_below)
    mouths = MouthTrack(subject.presenter, subject.footage, choice.frames, reshaper, closer)
    shown = with_old_mouth(base) if stage == "base_with_new_audio" else base
    render(shown, plan, mouths, audio, output)
    frames_per_s = len(plan.numbers) / (time.perf_counter() - start_s)
    judged = judge.measure(output)
    made = measure_mouths(_frames_of(output), base, plan.numbers)
    figures = figures_of(subject, trial, judged, made)
    if stage != "base_with_new_audio":
        n_joins = count_joins(mouths.pieces, subject.footage.frames.follows)
        figures["joins_per_s"] = n_joins / trial.recording.speech.duration_s
        figures["frames_per_s"] = frames_per_s
    if trial.is_own:
        return figures | compare_mouths(
            _mouth_lumas(_frames_of(output), base, plan.numbers),
            _mouth_lumas(frames_in_order(base.path, base.times, plan.numbers), base, plan.numbers),
        )
    return figures | {"leak": judge.measure(output, subject.old_audio).confidence}


def _frames_of(path: Path) -> Iterator:
    return (frame for _, frame, _ in source_frames(path))


def _mouth_lumas(frames: Iterator, base: BaseVideo, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The mouth in each frame that shows the face."""
    for number, frame in zip(numbers, frames, strict=False):
        if base.has_face[number]:
            yield mouth_of(lower_face(frame, base.to_frame[number]))
