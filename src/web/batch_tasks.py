"""What the tab "Batch" has done in a process."""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LipSyncError
from ..i18n.messages import tr
from ..media.container import probe
from ..pipeline.batch import run_batch
from ..pipeline.command import SUMMARY_NAME
from ..pipeline.pairs import Pair, with_outputs
from .check_tasks import too_long
from .worker import Work


@dataclass(frozen=True)
class Row:
    """A video that is done.

    Attributes:
        video: its name.
        message: the result in words, or why there is none.
        offset_ms: > 0, the audio leads; None: undetermined.
        score: 0–1, or None.
        output: name of the corrected video, or None.
    """

    video: str
    message: str
    offset_ms: float | None
    score: float | None
    output: str | None


def process_many(work: Work, videos: list[str], is_correcting: bool, max_minutes: float) -> None:
    """Score videos, or correct them, one after the other; reports a ``Row`` each, and keeps the
    table of the command beside the outputs.

    Args:
        videos: files in the working folder.
        is_correcting: whether corrected videos are written.
        max_minutes: longer videos are refused.
    """
    summary = work.folder / SUMMARY_NAME
    pairs = with_outputs(
        [(name, None) for name in videos], work.folder if is_correcting else None, False
    )
    for number, pair in enumerate(pairs):
        work.report(
            tr("{name} ({n} of {total})", name=pair.video, n=number + 1, total=len(pairs)),
            number / len(pairs),
        )
        work.part(_row(work, pair, summary, max_minutes))


def _row(work: Work, pair: Pair, summary: Path, max_minutes: float) -> Row:
    if is_too_long(pair.video, max_minutes):
        return Row(pair.video, str(too_long(pair.video, max_minutes)), None, None, None)
    (result,) = run_batch(work.spec, [pair], summary, engine=work.engine)
    output = result["output"]
    return Row(
        pair.video, result["message"], result["offset_ms"], result["score"],
        Path(output).name if output else None,
    )  # fmt: skip


def is_too_long(name: str, max_minutes: float) -> bool:
    """Whether a video is too long; one that cannot be read is not."""
    try:
        return probe(name).duration_s > 60 * max_minutes
    except LipSyncError:
        return False  # what is wrong with it stands in the table
