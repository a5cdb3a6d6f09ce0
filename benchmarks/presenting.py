"""How good the mouths are that a presenter gets for new speech, and what simpler ways would give.

Each person's presenter is learned from their footage without the last fifth of each clip, and every
recording is laid onto the person's first clip, the base. All figures are measured in the encoded
file: the mouth is found in it anew, and the judge (``presenter.judge``) took no part in making it.

Measured alike, as baselines: the real video with its own audio; the base with the new audio and its
old mouth; one mouth, frozen; mouths that open as far as the audio is loud; mouths at random. And
the person's own audio of the held-out fifth over its own video, where each frame has a real
counterpart.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.presenting_inputs import (
    HELD_OUT,
    TEXTS,
    Recording,
    cut_recording,
    file_part,
    hold_out,
    in_order,
    limit_footage,
    put_in_sync,
    read_people,
    speak_text,
    usable_seconds,
)
from benchmarks.presenting_measures import MouthFigures, measure_mouths
from benchmarks.presenting_table import (
    COLUMNS,
    Result,
    mean_rows,
    print_rows,
    table_rows,
    write_json,
)
from benchmarks.presenting_videos import (
    METHOD,
    ORDER,
    SHAPED,
    STAGES,
    FigureDict,
    Subject,
    Trial,
    measure_made,
    measure_real,
)
from src.core.cli import add_checkpoint, make_parser, run, settings_of
from src.core.constants import FPS, SAMPLE_RATE
from src.core.errors import LipSyncError, PresenterError
from src.core.files import check_writable, ensure_folder
from src.core.progress import progress_bars
from src.i18n.messages import tr
from src.media.frame_access import frames_in_order
from src.media.reader import read_audio
from src.media.writer import write_wav
from src.pipeline.engine import LipSyncInference
from src.pipeline.new_speech import sync_tools
from src.presenter.base import BasePlan, BaseVideo, locate_base, plan_base
from src.presenter.footage import Footage, gather_footage, has_piece
from src.presenter.foreign_speech import foreign_speech
from src.presenter.judge import Judge, load_judge
from src.presenter.learn import learn_presenter
from src.presenter.speech import read_speech
from src.presenter.store import Presenter, load_presenter
from src.presenter.sync_tools import SyncTools
from src.presenter.train_shapes import STEPS, train_shapes

# ---------------------------------------------------------------------------- one person


@dataclass(frozen=True)
class Bench:
    """What is measured.

    Attributes:
        tools, judge: the networks.
        folder: for presenters, audio and videos.
        seconds: of speech.
        recordings: the new audio.
        stages: of ``STAGES``, beside the method.
        footage_s: amounts of footage that the method is measured with beside all of it, seconds.
        hand_over_closures: the method is given the times of b, p and m.
        speech_of_others: recordings to train shapes with, beside synthesised speech.
        steps: of that training.
    """

    tools: SyncTools
    judge: Judge
    folder: Path
    seconds: float
    recordings: list[Recording]
    stages: tuple[str, ...] = STAGES
    footage_s: tuple[float, ...] = ()
    hand_over_closures: bool = False
    speech_of_others: tuple[Path, ...] = ()
    steps: int = STEPS


@dataclass(frozen=True)
class Job:
    """A video to be measured.

    Attributes:
        label: of its row.
        stage: of ``ORDER``.
        subject: with the footage that is chosen from.
        trial: the audio.
    """

    label: str
    stage: str
    subject: Subject
    trial: Trial

    def measure(self, bench: Bench) -> FigureDict:
        """Raises LipSyncError: it cannot be made or judged."""
        if self.stage == "real":
            return measure_real(self.subject, self.trial)
        folder = ensure_folder(bench.folder / "videos" / file_part(self.subject.name))
        output = folder / f"{file_part(self.label)}-{file_part(self.trial.recording.name)}.mp4"
        return measure_made(
            self.stage, self.subject, self.trial, bench.judge, output, bench.hand_over_closures
        )


def measure_person(name: str, videos: list[Path], bench: Bench) -> list[Result]:
    """All figures of a person; a video that cannot be made is noted on stderr and left out.

    Raises:
        LipSyncError: the person cannot be measured at all.
    """
    subject = prepare(name, videos, bench)
    trials = make_trials(subject, bench)
    jobs = [Job(stage, stage, subject, trial) for stage in trials for trial in trials[stage]]
    for limited, seconds in limited_subjects(subject, bench.footage_s):
        label = f"{METHOD}, {seconds:g} s of footage"
        jobs += [Job(label, METHOD, limited, trial) for trial in trials[METHOD]]
    results = []
    for job in jobs:
        audio = job.trial.recording.name
        try:
            results.append(Result(name, job.label, audio, job.measure(bench)))
        except LipSyncError as error:
            _note(f"{name}, {job.label}, {audio}", error)
    return results


def prepare(name: str, videos: list[Path], bench: Bench) -> Subject:
    """Learn a person's presenter, and judge their first clip.

    Raises:
        LipSyncError: the footage cannot be used.
    """
    folder = bench.folder / "presenters" / file_part(name)
    records = learn_presenter(videos, folder, bench.tools, progress=progress_bars)
    presenter = hold_out(in_order(load_presenter(folder), records))
    footage = gather_checked(presenter)
    base = locate_base(videos[0], videos[0], bench.tools, progress=progress_bars)
    offset_ms = records[0].offset_ms or 0.0
    old_audio = ensure_folder(bench.folder / "audio") / f"old-{file_part(name)}.wav"
    samples = put_in_sync(read_audio(base.path), offset_ms)
    write_wav(old_audio, samples[: round(bench.seconds * SAMPLE_RATE)])
    judged = bench.judge.measure(base.path, face="speaking", true_offset_ms=offset_ms)
    clip = presenter.clips[0]
    grid = np.searchsorted(clip.grid["time"], base.times).clip(0, len(clip.grid) - 1)
    is_spoken = clip.grid["speech"][grid] & base.has_face
    shapes = None
    if set(SHAPED) & set(bench.stages):
        foreign = foreign_speech(bench.tools, bench.speech_of_others)
        shapes = train_shapes(
            presenter, footage, foreign, bench.tools, bench.steps, progress=progress_bars
        )
    return Subject(
        name, presenter, footage, base, offset_ms, old_audio, judged, measure_base(base),
        is_spoken, shapes, bench.tools.model.spec,
    )  # fmt: skip


def gather_checked(presenter: Presenter) -> Footage:
    """The usable frames of a presenter. Raises PresenterError: there are too few."""
    if usable_seconds(presenter):
        footage = gather_footage(presenter)
        if has_piece(footage):
            return footage
    raise PresenterError(
        tr("the footage of {name} holds no stretch of three usable frames", name=presenter.name)
    )


def limited_subjects(
    subject: Subject, footage_s: tuple[float, ...]
) -> Iterator[tuple[Subject, float]]:
    """The person with less footage; amounts that there are not, or that are too small, are left
    out."""
    for seconds in footage_s:
        if seconds >= usable_seconds(subject.presenter):
            continue
        presenter = limit_footage(subject.presenter, seconds)
        try:
            footage = gather_checked(presenter)
        except PresenterError as error:
            _note(f"{subject.name}, {seconds:g} s", error)
            continue
        yield replace(subject, presenter=presenter, footage=footage), seconds


def make_trials(subject: Subject, bench: Bench) -> dict[str, list[Trial]]:
    """What each stage is measured with, in the order of the rows."""
    new = [
        Trial(recording, plan_base(subject.base, recording.speech.duration_s))
        for recording in bench.recordings
    ]
    trials = {}
    for stage in ORDER:
        if stage != METHOD and stage not in bench.stages:
            continue
        try:
            if stage == "real":
                trials[stage] = [real_trial(subject, bench.tools)]
            elif stage in ("own", SHAPED[1]):
                trials[stage] = [own_trial(subject, bench)]
            else:
                trials[stage] = new
        except LipSyncError as error:
            _note(f"{subject.name}, {stage}", error)
    return trials


def real_trial(subject: Subject, tools: SyncTools) -> Trial:
    """The beginning of the base with its own audio. Raises MediaError, PresenterError."""
    speech = read_speech(subject.old_audio, tools)
    base = subject.base
    duration_s = min(speech.duration_s, base.times[-1] + base.frame_s)
    return Trial(Recording("own audio", speech), plan_base(base, duration_s), is_own=True)


def own_trial(subject: Subject, bench: Bench) -> Trial:
    """The held-out part of the base with its own audio. Raises MediaError, PresenterError."""
    base = subject.base
    first_s = (1 - HELD_OUT) * subject.presenter.clips[0].record.duration_s
    numbers = np.flatnonzero((base.times >= first_s) & (base.times < first_s + bench.seconds))
    if len(numbers) < FPS:
        raise PresenterError(tr("less than a second of {name} is held out", name=base.path.name))
    times = base.times[numbers]
    samples = put_in_sync(read_audio(base.path), subject.offset_ms)
    begin, end = (round(t * SAMPLE_RATE) for t in (times[0], times[-1] + base.frame_s))
    path = bench.folder / "audio" / f"own-{file_part(subject.name)}.wav"
    write_wav(path, samples[begin:end])
    recording = Recording("own audio", read_speech(path, bench.tools))
    return Trial(recording, BasePlan(numbers, times - times[0]), is_own=True)


def measure_base(base: BaseVideo) -> MouthFigures:
    """The figures of all frames of the base."""
    numbers = np.arange(len(base.times))
    return measure_mouths(frames_in_order(base.path, base.times, numbers), base, numbers)


def _note(what: str, error: LipSyncError) -> None:
    print(tr("note: {text}", text=tr("{name}: {why}", name=what, why=error)), file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Measure the mouths that presenters get for new speech."),
        "python benchmarks/presenting.py --people people.csv --audio new1.wav new2.wav --text",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--people", type=Path, required=True, metavar="CSV",
        help=tr("a list with the columns person,video; the first video of a person is also the "
                "base"),
    )  # fmt: skip
    parser.add_argument("--audio", nargs="+", type=Path, default=[], help=tr("new speech"))
    parser.add_argument(
        "--text", action="store_true",
        help=tr("also an English and a Chinese text, spoken by espeak-ng: their b, p and m are "
                "known"),
    )  # fmt: skip
    parser.add_argument(
        "--closures", action="store_true",
        help=tr("with --text: tell the method when b, p and m are heard"),
    )  # fmt: skip
    parser.add_argument(
        "--speech-seconds", type=float, default=12, metavar="S",
        help=tr("so much of each recording (default: 12)"),
    )  # fmt: skip
    parser.add_argument(
        "--stages", nargs="*", choices=(*STAGES, METHOD), default=STAGES,
        help=tr("what is measured beside the method (default: everything)"),
    )  # fmt: skip
    parser.add_argument(
        "--seconds-of-footage", nargs="+", type=float, default=[], metavar="S",
        help=tr("also the method with only so much footage of each person"),
    )  # fmt: skip
    parser.add_argument(
        "--speech", nargs="+", type=Path, default=[], metavar="AUDIO",
        help=tr("recordings of other people to train with, beside synthesised speech"),
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=tr("of the training (default: 1200)")
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/presenting"), metavar="FOLDER",
        help=tr("for presenters, audio and videos (default: outputs/presenting)"),
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help=tr("also write all numbers"))
    args = parser.parse_args()
    if not (args.audio or args.text):
        parser.error(tr("give new speech: --audio, --text or both"))
    if args.closures and not args.text:
        parser.error(tr("--closures goes with --text"))
    if min(args.speech_seconds, *args.seconds_of_footage, np.inf) <= 0:
        parser.error(tr("seconds must be greater than 0"))
    return args


def load_bench(args: argparse.Namespace) -> Bench:
    """The networks and the new audio.

    Raises:
        LipSyncError: one of them cannot be used.
    """
    config = settings_of(args)
    engine = LipSyncInference(args.checkpoint, None, config, args.overrides)
    tools, folder = sync_tools(engine), ensure_folder(args.output / "audio")
    recordings = [
        cut_recording(path, args.speech_seconds, folder / f"{n}-{file_part(path.stem)}.wav", tools)
        for n, path in enumerate(args.audio, 1)
    ]
    if args.text:
        recordings += [
            speak_text(name, args.speech_seconds, folder / f"{file_part(name)}.wav", tools)
            for name in TEXTS
        ]
    return Bench(
        tools, load_judge(engine.detector, engine.device), args.output, args.speech_seconds,
        recordings, tuple(args.stages), tuple(args.seconds_of_footage), args.closures,
        tuple(args.speech), args.steps,
    )  # fmt: skip


def main() -> int:
    args = parse_arguments()
    people = read_people(args.people)
    if args.json:
        check_writable(args.json)
    bench = load_bench(args)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items() if name not in ("audio", "speech")
    } | {"audio": [path.name for path in args.audio], "model": bench.tools.sha256}  # fmt: skip
    heads = ("person", "stage", *(head for head, _ in COLUMNS.values()))
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    results: list[Result] = []
    for name, videos in people.items():
        try:
            of_person = measure_person(name, videos, bench)
        except LipSyncError as error:
            _note(name, error)
            continue
        print_rows(table_rows(of_person))
        results += of_person
        if args.json:
            write_json(args.json, results, settings)
    print_rows(mean_rows(table_rows(results)))
    return 0 if results else 1


if __name__ == "__main__":
    run(main)
