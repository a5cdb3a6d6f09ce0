"""A new speech in words and as a page; the files of many of them."""

import os
from pathlib import Path

import numpy as np

from ..core.errors import DatasetError, OutputError
from ..core.files import check_output_path
from ..i18n.messages import tr
from ..media.reader import source_frames
from ..media.source_note import read_note, view_note
from ..presenter.presenting import Presented, WeakSpan
from ..report.presented_report import write_presented_report
from .output_names import OutputNames, Source
from .pairs import read_list

REPORT_FRAMES = 8
REPORT_FRAME_HEIGHT = 270  # px
REPORT_NOTE = view_note("", "presented")  # of all such reports: the speech may be a text


def describe(made: Presented) -> list[str]:
    """What was made, line by line."""
    lines = []
    judged = made.judged
    if judged is not None and judged.in_sync is not None:
        lines.append(
            tr("in sync: {percent:.0f}% of the seconds with speech (offset {ms:+.0f} ms), as an "
               "independent network measures it",
               percent=100 * judged.in_sync, ms=judged.offset_ms or 0)
        )  # fmt: skip
    elif judged is not None:
        lines.append(tr("in sync: too little speech in a row to be measured"))
    if made.closeness is not None:
        lines.append(
            tr("confidence: {percent:.0f}% of that of the person's own footage",
               percent=100 * made.closeness)
        )  # fmt: skip
    lines.append(
        tr("{s:.1f} s, {n} frames, {joins:.1f} joins per second",
           s=made.duration_s, n=made.frames, joins=made.joins_per_s)
    )  # fmt: skip
    lines += [tr("note: {text}", text=_describe_weak(span)) for span in made.weak_spans]
    lines += [tr("note: {text}", text=text) for text in made.warnings]
    lines.append(tr("video saved: {path}", path=made.output))
    return lines


def _describe_weak(span: WeakSpan) -> str:
    times = {"first": span.start_s, "last": span.end_s}
    if span.words:
        return tr("{first:.1f}–{last:.1f} s (“{words}”): the footage holds no frames that fit well",
                  words=span.words, **times)  # fmt: skip
    return tr("{first:.1f}–{last:.1f} s: the footage holds no frames that fit well", **times)


def check_report(path: str | Path, reserved: list[Path | None], overwrite: bool = True) -> None:
    """Refuse a report that cannot be written, before the work.

    Args:
        reserved: inputs and other outputs.
        overwrite: replace a file that has its name. False: only such a report.

    Raises:
        OutputError.
    """
    output = check_output_path(path, [other for other in reserved if other], {".html", ".htm"})
    if not overwrite and os.path.lexists(output) and read_note(output) != REPORT_NOTE:
        raise OutputError(
            tr("{path} exists and is not such a report: choose another name, or replace it with "
               "--overwrite", path=path)
        )  # fmt: skip


def write_report(made: Presented, model: str, path: str | Path) -> None:
    """Write a page about the result, with some of its frames.

    Raises:
        MediaError: the result can no longer be read.
        OutputError: the page cannot be written.
    """
    result = made.model_dump() | {"closeness": made.closeness, "model": model}
    write_presented_report(result, path, _sample_frames(made), REPORT_NOTE)


def _sample_frames(made: Presented) -> list[np.ndarray]:
    """Frames at regular distances, uint8 BGR each."""
    wanted = set(np.linspace(0, made.frames - 1, REPORT_FRAMES).astype(int).tolist())
    return [
        frame.small_bgr(REPORT_FRAME_HEIGHT * 2)
        for number, (_, frame, _) in enumerate(source_frames(made.output))
        if number in wanted
    ]


def batch_outputs(
    path: Path, folder: Path, overwrite: bool = False
) -> list[tuple[Path, Path, Path, bool]]:
    """Video, audio and output of each row of a list, and whether a file that has the name of the
    output may be replaced whatever it is.

    Args:
        path: a list with the columns video, audio.
        folder: of the outputs, which are named after the audio; numbered where a name is in use.
        overwrite: files that exist may be replaced.

    Raises:
        MissingFileError, DatasetError: the list cannot be read, or a row has no audio.
    """
    rows = read_list(path)
    names = OutputNames((name for row in rows for name in row), overwrite)
    jobs = []
    for video, audio in rows:
        if not audio:
            raise DatasetError(
                tr("{path}: {video} has no audio: each row needs the new speech",
                   path=path, video=video)
            )  # fmt: skip
        plain = folder / f"{Path(audio).stem}_presented.mp4"
        output, is_replaceable = names.choose(plain, Source(video, audio))
        jobs.append((Path(video), Path(audio), output, is_replaceable))
    return jobs
