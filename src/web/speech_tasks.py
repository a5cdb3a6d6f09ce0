"""What the tab "New speech" has done in a process: learn a presenter, make a new video."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..audio.speech_synthesis import bilabial_spans, synthesise_text, words_between
from ..i18n.messages import tr
from ..media.container import probe
from ..media.writer import write_wav
from ..pipeline.new_speech import Credentials, NewSpeech, learn, make_new_speech, new_consent
from ..pipeline.new_speech_views import describe, write_report
from ..presenter.presenting import Presented
from .check_tasks import too_long
from .previews import make_preview
from .worker import Work

PRESENTER = "presenter"  # folder in that of the task


@dataclass(frozen=True)
class Learnt:
    """A presenter.

    Attributes:
        folder: of the presenter.
        base: name of the longest footage file, onto which the mouth is laid.
        lines: what was found in the footage, and what would help, in words.
        preview: of the base; plays in a browser.
    """

    folder: Path
    base: str
    lines: tuple[str, ...]
    preview: Path


@dataclass(frozen=True)
class Made:
    """A video with new speech.

    Attributes:
        lines: what was made, and how well in sync it is as the judge measures it, in words.
        video: the file.
        report: a page about it.
        preview: plays in a browser.
    """

    lines: tuple[str, ...]
    video: Path
    report: Path
    preview: Path


def learn_footage(work: Work, footage: list[str], max_minutes: float) -> Learnt:
    """Learn a presenter; the person's consent was given on the page.

    Args:
        footage: videos in the working folder.
        max_minutes: longer ones are refused.

    Raises:
        MediaError, PresenterError: the footage cannot be used, with the reason.
    """
    for name in footage:
        if probe(name).duration_s > 60 * max_minutes:
            raise too_long(name, max_minutes)
    folder = work.folder / PRESENTER
    records, advice = learn(
        work.engine, [Path(name) for name in footage], folder, new_consent("asked"),
        progress=work.progress,
    )  # fmt: skip
    lines = [
        tr("{name}: {s:.0f} s of speech, face {px:.0f} pixels wide",
           name=record.name, s=record.speech_s, px=record.face_px)
        for record in records
    ]  # fmt: skip
    lines += [tr("note: {text}", text=text) for text in advice]
    base = max(records, key=lambda record: record.duration_s).name
    preview = make_preview(work, Path(base), None, "original")
    return Learnt(folder.resolve(), base, tuple(lines), preview.resolve())


def make_speech(work: Work, learnt: Learnt, audio: str | None, text: str) -> Made:
    """Make a video in which the presenter says something else.

    Args:
        audio: the speech, a file in the working folder; None: ``text`` is spoken.

    Raises:
        LipSyncError: with what is wrong.
    """
    output = work.folder / f"{Path(learnt.base).stem}_new.mp4"
    made, notes = present_speech(work, Path(learnt.base), learnt.folder, output, audio, text)
    report = output.with_suffix(".html")
    write_report(made, work.engine.model_file.file, report)
    preview = make_preview(work, output, None, "new")
    lines = describe(made)[:-1]  # without where it was saved
    lines += [tr("note: {text}", text=note) for note in notes]
    return Made(tuple(lines), output.resolve(), report.resolve(), preview.resolve())


def present_speech(
    work: Work,
    base: Path,
    presenter: Path,
    output: Path,
    audio: str | None,
    text: str,
    label: bool = False,
) -> tuple[Presented, list[str]]:
    """Make a video of recorded or synthesised speech.

    Args:
        base: the video under the new mouth.
        presenter: its folder.
        audio: the speech, a file in the working folder; None: ``text`` is spoken.
        label: draw a visible mark.

    Returns:
        what was made, and notes on the synthesised speech.

    Raises:
        LipSyncError: with what is wrong.
    """
    options, notes = {}, []
    if audio is None:
        work.report(tr("speaking the text"), None)
        speech = synthesise_text(text)
        audio = work.folder / "speech.wav"
        write_wav(audio, speech.samples, speech.sample_rate)
        options["credentials"] = Credentials(voice=f"{speech.engine} {speech.voice}")
        if speech.phonemes:
            options["closures_s"] = bilabial_spans(speech.phonemes)
            options["words_between"] = partial(words_between, text, speech.phonemes)
        if speech.for_trials:
            notes = [tr("spoken by espeak-ng, for trials; recorded speech looks and sounds "
                        "natural")]  # fmt: skip
    job = NewSpeech(Path(audio), output, base, presenter, label=label, **options)
    return make_new_speech(work.engine, job, work.progress), notes
