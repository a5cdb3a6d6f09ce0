"""What the service has done in a process: score, correct, present.

The working folder is that of the job, and outputs go into a folder in it: so no path of this
computer gets into a result.
"""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LipSyncError, PresenterError
from ..i18n.messages import tr
from ..media.stream_choice import StreamChoice
from ..pipeline.command import Views, correct_pair, score_pair
from ..pipeline.new_speech import longest_footage
from ..pipeline.new_speech_views import write_report
from ..pipeline.pairs import synced_path
from ..web.check_tasks import limited
from ..web.speech_tasks import present_speech
from ..web.worker import Work


@dataclass(frozen=True)
class Finished:
    """What a job has found.

    Attributes:
        result: JSON values; of a pair as ``src/inference.py --json`` prints them.
        files: names of what was written, in the folder for outputs.
    """

    result: dict
    files: tuple[str, ...]


def score(
    work: Work,
    video: str,
    audio: str | None,
    face: str,
    streams: StreamChoice,
    with_report: bool,
    max_minutes: float,
) -> Finished:
    """Score a pair.

    Args:
        video, audio: files in the working folder; audio None: the video's own.
        face, streams: as in ``LipSyncInference.compute_sync_score``.
        with_report: also write a page about it.
        max_minutes: longer videos are refused.

    Raises:
        LipSyncError: with what is wrong.
    """
    progress = limited(work, video, audio, max_minutes)
    result = score_pair(work.engine, video, audio, face, progress, streams)
    return _finished(work, result, [], with_report)


def correct(
    work: Work,
    video: str,
    audio: str | None,
    face: str,
    streams: StreamChoice,
    fit: str,
    with_report: bool,
    max_minutes: float,
) -> Finished:
    """Correct a pair; arguments as in ``score``, ``fit`` as in ``correct_sync``."""
    progress = limited(work, video, audio, max_minutes)
    output = synced_path(_outputs(work), video)
    result = correct_pair(
        work.engine, video, audio, output, face=face, fit=fit, overwrite=True, progress=progress,
        streams=streams,
    )  # fmt: skip
    files = []
    if result["output"] is not None:
        result["output"] = output.name
        files.append(output.name)
    return _finished(work, result, files, with_report)


def present(
    work: Work,
    presenter: str,
    audio: str | None,
    text: str,
    video: str | None,
    label: bool,
    with_report: bool,
    max_minutes: float,
) -> Finished:
    """Make a video in which a presenter says something else.

    Args:
        presenter: its folder.
        audio: the speech, a file in the working folder; None: ``text`` is spoken.
        video: under the new mouth, a file in the working folder; None: the longest footage.
        label: draw a visible mark.
        with_report, max_minutes: as in ``score``.

    Raises:
        LipSyncError: with what is wrong.
    """
    folder = Path(presenter)
    for name in filter(None, (audio, video)):
        limited(work, name, None, max_minutes)
    try:
        base = Path(video) if video else longest_footage(folder)
        if base is None:
            raise PresenterError(
                tr("the footage of {name} is no longer where it was learned from: send the video "
                   "under the new mouth in the field video", name=folder.name)
            )  # fmt: skip
        output = _outputs(work) / f"{base.stem}_new.mp4"
        made, notes = present_speech(work, base, folder, output, audio, text, label)
    except LipSyncError as error:  # whoever asks knows the presenter by its name alone
        raise LipSyncError(str(error).replace(str(folder), folder.name)) from None
    files = [output.name]
    if with_report:
        report = output.with_suffix(".html")
        write_report(made, Path(work.engine.model_file.file).name, report)
        files.append(report.name)
    result = made.model_dump() | {"closeness": made.closeness, "notes": notes}
    return Finished(result | {"output": output.name}, tuple(files))


def _outputs(work: Work) -> Path:
    """The folder for outputs, as seen from the working folder."""
    return Path(work.folder.name)


def _finished(work: Work, result: dict, files: list[str], with_report: bool) -> Finished:
    """The result of a pair, with its files."""
    details = result["details"]
    details["model"]["file"] = Path(details["model"]["file"]).name
    if with_report:
        report = _outputs(work) / f"{Path(details['video']).stem}_report.html"
        for _ in Views(report=str(report)).write(result["score"], details):
            pass
        files.append(report.name)
    return Finished(result, tuple(files))
