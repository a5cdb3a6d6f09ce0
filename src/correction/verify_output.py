"""A film that was written is read again: whether it is what it should be, and what it lost."""

from pathlib import Path

from ..core.errors import MediaError, OutputError
from ..i18n.messages import tr
from ..media.streams import VideoSource, read_source
from .duration import DurationMatch

SLACK_S = 0.15  # the last block of a sound may be longer than what is in it


def verify_output(
    path: Path, output_path: str | Path, film: VideoSource, length: DurationMatch, copied: bool
) -> list[str]:
    """Compare a written film with what it was made from.

    Args:
        path: the file that was written.
        output_path: the name it will get.
        film: where its pictures come from.
        length: what it should have.
        copied: whether the pictures were taken over as they are.

    Returns:
        notes: what of the film the container could not hold.

    Raises:
        OutputError: pictures or seconds are missing.
    """
    try:
        made = read_source(path)
        wrong = _wrong(made, film, length, copied)
    except MediaError as error:
        wrong = str(error)
    if wrong:
        raise OutputError(
            tr("cannot write {path}: {why}", path=output_path, why=wrong)
        )  # fmt: skip
    notes = []
    if film.chapters and not made.chapters:
        notes.append(tr("the chapters are left out: the output cannot hold them"))
    if film.title and not made.title:
        notes.append(tr("the title is left out: the output cannot hold it"))
    return notes


def _wrong(made: VideoSource, film: VideoSource, length: DurationMatch, copied: bool) -> str | None:
    # Where pictures are damaged, or encoded anew, a decoder may drop some.
    slack = 0 if copied and film.whole else 2 + length.n_source_frames // 50
    fewest = length.n_source_frames - slack - (film.hidden if copied else 0)
    if not fewest <= made.n_source_frames <= length.n_source_frames + slack:
        return tr("it came out with {found} pictures instead of {expected}",
                  found=made.n_source_frames, expected=length.n_source_frames)  # fmt: skip
    for found in (made.length_s, made.sounds[0].end_s - made.first_s if made.sounds else 0.0):
        if abs(found - length.length_s) > SLACK_S + (2 + slack) / film.fps:
            return tr("it came out {found:.2f} s long instead of {expected:.2f} s",
                      found=found, expected=length.length_s)  # fmt: skip
    return None
