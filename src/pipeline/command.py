"""What ``src/inference.py`` does: score or correct a pair, many pairs, or rank them; write views.

Nothing is printed here: functions return values.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.config import Config
from ..core.files import check_output_path, ensure_folder, folder_created
from ..core.progress import Progress, no_progress
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from ..media.writer import SUFFIXES
from ..report.annotated_video import annotate
from ..report.html_report import write_report
from ..report.plots import plot_result
from .engine import EngineSpec, LipSyncInference
from .output_names import OutputNames, Source, check_not_foreign
from .pairs import Pair, synced_path, with_outputs
from .summary_table import recorded_outputs

SUMMARY_NAME = "summary.csv"
VIEW_SUFFIXES = {"plot": {".png"}, "report": {".html", ".htm"}, "annotate": SUFFIXES}


@dataclass(frozen=True)
class Views:
    """Files in which people look at the result of a pair; None: not wanted.

    Attributes:
        plot: an image (.png).
        report: a page (.html).
        annotate: a copy of the video with the result drawn into it.
        options: more arguments of the command in the report.
        source: what they are made from, noted in them; None: nothing is noted.
        overwrite: replace files that have these names. False: only views of the same source.
    """

    plot: str | None = None
    report: str | None = None
    annotate: str | None = None
    options: Sequence[str] = ()
    source: Source | None = None
    overwrite: bool = True

    def check(self, reserved: list[str | Path | None]) -> list[str | Path]:
        """Refuse what cannot be written, before anything is scored.

        Args:
            reserved: inputs and other outputs.

        Returns:
            ``reserved`` and these files, without None.

        Raises:
            OutputError: a file cannot be written, or has one of those names, or that of a file
                which must not be replaced.
            MediaError: it has, and the source cannot be read.
        """
        paths = [path for path in reserved if path]
        for name, allowed in VIEW_SUFFIXES.items():
            path = getattr(self, name)
            if path:
                check_output_path(path, paths, allowed)
                self._check_not_foreign(name)
                paths.append(path)
        return paths

    def _check_not_foreign(self, name: str) -> None:
        if self.source is not None and not self.overwrite:
            check_not_foreign(Path(getattr(self, name)), self.source, name)

    def write(
        self, score: float | None, details: dict, progress: Progress = no_progress
    ) -> Iterator[tuple[str, str]]:
        """Write them one by one: yields ``("plot", path)`` and so on, when each is complete.

        Args:
            score, details: as ``LipSyncInference.compute_sync_score`` returns them.
            progress: reports the frames of the annotated copy.

        Raises:
            MediaError: the pair can no longer be read.
            OutputError: a file cannot be written.
        """
        video, audio = details["video"], details["audio"]
        writers: dict[str, Callable[[str, str | None], None]] = {
            "plot": lambda path, note: plot_result(score, details, path, note),
            "report": lambda path, note: write_report(
                score, details, path, options=self.options, note=note
            ),
            "annotate": lambda path, note: annotate(
                video, None if audio == video else audio, details, path, progress, note
            ),
        }
        for name, write in writers.items():
            path = getattr(self, name)
            if path:
                self._check_not_foreign(name)  # another run may have written it meanwhile
                with folder_created(Path(path).parent):
                    write(path, self.source and self.source.note_of(name))
                yield name, path


def default_output(
    config: Config, video: str | Path, audio: str | Path | None, reserved: list[str | Path],
    overwrite: bool = False, streams: StreamChoice = DEFAULT_STREAMS,
) -> Path:  # fmt: skip
    """``<video name>_synced<suffix>`` in ``paths.output_dir``, numbered where that is in use (see
    ``OutputNames``)."""
    plain = synced_path(Path(config.paths.output_dir), video)
    names = OutputNames([*reserved, audio], overwrite)
    return names.choose(plain, Source(video, audio, streams))[0]


def score_pair(
    engine: LipSyncInference,
    video: str,
    audio: str | None,
    face: str | int,
    progress: Progress = no_progress,
    streams: StreamChoice = DEFAULT_STREAMS,
) -> dict:
    """Score a pair: ``score`` and ``details``, as ``--json`` prints them."""
    score, details = engine.compute_sync_score(video, audio, face, progress, streams)
    return {"score": score, "details": details}


def correct_pair(
    engine: LipSyncInference,
    video: str,
    audio: str | None,
    output: str | Path,
    *,
    face: str | int,
    fit: str,
    overwrite: bool,
    progress: Progress = no_progress,
    streams: StreamChoice = DEFAULT_STREAMS,
) -> dict:
    """Correct a pair: ``score`` and ``details`` of the pair as given, ``success``, ``message``,
    ``notes`` and ``output``, as ``--json`` prints them."""
    success, message, measured = engine.correct_sync(
        video, audio, output, face, fit, progress, streams, overwrite
    )
    return {
        "score": measured["score_before"], "details": measured["details"], "success": success,
        "message": message, "notes": measured["notes"], "output": str(output) if success else None,
    }  # fmt: skip


def prepare_batch(
    spec: EngineSpec,
    pairs: list[tuple[str, str | None]],
    output_dir: Path | None,
    summary: Path,
    overwrite: bool = False,
    **options,
) -> list[Pair]:
    """What ``batch.run_batch`` has to do, once it is clear that it can be done.

    Args:
        pairs: (video, audio or None) each.
        output_dir: where corrected videos go, made if missing; None: the pairs are only scored.
        summary: the table, which says whose the outputs of earlier runs are.
        overwrite: files that exist may be replaced.
        options: of ``LipSyncInference.correct_sync``, for all.

    Raises:
        MissingFileError, CheckpointError, ConfigError: the model cannot be used.
        OutputError: the folder cannot be made.
        DatasetError: another file has the name of the table.
    """
    spec.build()
    recorded = {}
    if output_dir is not None:
        ensure_folder(output_dir)
        recorded = recorded_outputs(summary)
    return with_outputs(pairs, output_dir, overwrite, recorded, **options)
