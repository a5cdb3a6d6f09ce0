"""Many pairs of video and audio, each scored or corrected by itself, and a table of the results.

Each pair is processed in a process of its own kind (``core.workers``), which loads the model once:
a pair that cannot be used, or crashes its process, costs only itself. The table grows with every
pair, so that an interrupted run continues where it was.
"""

import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Protocol

from ..checkpoints.exported import export_sha256
from ..core.config import Config, load_config, override_key, with_overrides
from ..core.errors import CheckpointError, LipSyncError, MediaError
from ..core.files import file_sha256
from ..core.workers import (
    Crashed,
    MapJobs,
    TimedOut,
    crash_text,
    map_in_processes,
    timeout_text,
)
from ..i18n.messages import tr
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from .pairs import Pair, with_outputs
from .summary_table import SummaryTable, fingerprint, is_valid, to_row, values_of

logger = logging.getLogger(__name__)

TIMEOUT_KEY = "data.clip_timeout_s"


class Engine(Protocol):
    """What scores and corrects a pair: ``LipSyncInference``."""

    def compute_sync_score(self, video_path, audio_path, face=...) -> tuple[float | None, dict]: ...

    def correct_sync(
        self, video_path, audio_path, output_path, face=..., fit=..., *, overwrite=...
    ) -> tuple: ...


class EngineSpec(Protocol):
    """What a process of a batch builds its engine from: hashable by identity, and can be pickled.

    Attributes:
        checkpoint, config, overrides, sha256: as in ``engine.EngineSpec``.
    """

    checkpoint: Path
    config: Config | None
    overrides: tuple[str, ...]
    sha256: str | None

    def pinned(self, copy: Path, sha256: str) -> "EngineSpec": ...

    def build(self) -> Engine: ...


def process_pair(engine: Engine, pair: Pair) -> dict:
    """Score or correct a pair; an error becomes its message and is not raised.

    Returns:
        as an element of what ``LipSyncInference.batch_process`` returns, but of a pair that was to
        be corrected with ``notes`` apart from the message; and ``is_unusable``: whether the files
        are to blame where there are no ``details``.
    """
    result = _result(pair)
    options = dict(pair.options)
    try:
        if pair.output is None:
            score, details = engine.compute_sync_score(pair.video, pair.audio, **options)
            result |= {"score": score, "details": details, "message": details["verdict"],
                       "success": not details["undetermined"]}  # fmt: skip
        else:
            success, message, measured = engine.correct_sync(
                pair.video, pair.audio, pair.output, **options, overwrite=pair.overwrite
            )
            result |= {"success": success, "message": message, "notes": measured["notes"],
                       "score": measured["score_before"],
                       "details": measured["details"]}  # fmt: skip
    except LipSyncError as error:
        result |= {"message": str(error), "is_unusable": isinstance(error, MediaError)}
    # One bad pair must never stop the others, whatever a decoder makes of it.
    except Exception as error:
        logger.warning(tr("unexpected error with {path}; please report it:", path=pair.video),
                       exc_info=True)  # fmt: skip
        result["message"] = f"{type(error).__name__}: {error}"
    if result["success"] and pair.output is not None:
        result["output"] = str(pair.output)
    return result


def _result(pair: Pair, message: str = "") -> dict:
    """The result of a pair that could not be used."""
    return {"video": pair.video, "audio": pair.audio, "success": False, "output": None,
            "score": None, "details": None, "message": message, "is_unusable": False}  # fmt: skip


def run_batch(
    spec: EngineSpec,
    pairs: list[Pair],
    summary: Path | None,
    *,
    workers: int = 0,
    progress: Callable[[], object] = lambda: None,
    engine: Engine | None = None,
    details: bool = False,
    map_jobs: MapJobs | None = None,
    finished: Callable[[Pair, dict], object] = lambda pair, result: None,
) -> list[dict]:
    """Process many pairs, in processes or here, and keep a table of the results.

    A pair whose result is in the table is not processed again, unless one of its files, the model
    or the settings have changed, its output is gone, or it could not be read.

    Args:
        spec: what processes build their engine from.
        pairs: what to do.
        summary: the table (CSV); None: none is kept, and all pairs are processed.
        workers: processes; 0: one for each core. In them, a pair may take ``data.clip_timeout_s``.
        progress: called after each pair.
        engine: built from the ``spec``, to process the pairs here, one after the other, whatever
            ``workers`` is; None: processes build their own.
        details: whether to keep them, which takes memory for each pair.
        map_jobs: does the work, with temporary files beside the table, where all machines of a
            cluster see them; None: processes of this machine.
        finished: called with each pair that was processed and its result, as ``process_pair``
            returns it.

    Returns:
        a dict a pair, in order: the row of the table by ``COLUMNS``, as ``values_of`` gives it,
        and, where it is asked for, ``details`` (None where an earlier run processed the pair: the
        table does not hold them).

    Raises:
        OutputError: the table cannot be written.
        DatasetError: another file has the name of the table.
    """
    table = None if summary is None else SummaryTable(summary)
    earlier = [] if table is None else table.start()
    # A process that crashes leaves its files: they go with this folder.
    shared = summary.resolve().parent if map_jobs and summary else None
    with tempfile.TemporaryDirectory(
        prefix=".lipsync-" if shared else "lipsync-", dir=shared, ignore_cleanup_errors=True
    ) as folder:
        if engine is None:
            spec = _pin_model(spec, Path(folder))
        settings = _settings(spec)
        names = [fingerprint(pair, settings) for pair in pairs]
        n_pairs = Counter(names)  # equal pairs are processed once
        valid_rows = {row["fingerprint"]: row for row in earlier if is_valid(row)}
        rows, kept_details = {name: valid_rows[name] for name in names if name in valid_rows}, {}
        waiting = [(name, pair) for name, pair in dict(zip(names, pairs, strict=True)).items()
                   if name not in rows]  # fmt: skip
        for name in rows:
            _advance(progress, n_pairs[name])
        if engine is None:
            limit_s = _timeout_s(spec)
            results = (map_jobs or map_in_processes)(
                _process_job, (spec, folder), waiting, workers, limit_s
            )
        else:
            results = ((job, process_pair(engine, job[1])) for job in waiting)
        try:
            with closing(results):  # the processes end before their folder goes
                for (name, pair), result in results:
                    if isinstance(result, Crashed):
                        result = _result(pair, crash_text(pair.video, result))
                    if isinstance(result, TimedOut):
                        result = _result(pair, timeout_text(pair.video, result))
                    finished(pair, result)
                    rows[name] = to_row(result, name)
                    if details:
                        kept_details[name] = result["details"]
                    if table is not None:
                        table.append([rows[name]])
                    _advance(progress, n_pairs[name])
        finally:
            if table is not None:
                table.finish([rows[name] for name in names if name in rows])
    # A table cannot hold every name as it is: names that are no text stand there escaped.
    return [
        values_of(rows[name]) | {"video": pair.video, "audio": pair.audio}
        | ({"details": kept_details.get(name)} if details else {})
        for name, pair in zip(names, pairs, strict=True)
    ]  # fmt: skip


def _pin_model(spec: EngineSpec, folder: Path) -> EngineSpec:
    """The spec of the model that the file holds now, so that all processes use the same one,
    however long the batch takes: a training may replace the file meanwhile.

    Raises:
        CheckpointError: the file holds another model than the one that the caller has loaded.
    """
    if spec.checkpoint.is_dir():
        digest = export_sha256(spec.checkpoint)
        check_same_model(spec.checkpoint, spec.sha256, digest)
        return spec.pinned(spec.checkpoint, digest)
    path = _second_name(spec.checkpoint, folder) or spec.checkpoint
    digest = file_sha256(path)
    check_same_model(spec.checkpoint, spec.sha256, digest)
    return spec.pinned(path, digest)


def _second_name(path: Path, folder: Path) -> Path | None:
    """A link to a file, which stays when another takes its name, or a copy; None: there is no room
    for one, and processes refuse the file once it is replaced."""
    other = folder / f"model{path.suffix}"
    for make in (os.link, shutil.copyfile):
        try:
            make(os.path.realpath(path), other)
            return other
        except OSError:
            other.unlink(missing_ok=True)
    return None


def check_same_model(path: Path, expected_sha256: str | None, sha256: str) -> None:
    """Raise CheckpointError where a file holds another model than the expected one, if any."""
    if expected_sha256 not in (None, sha256):
        raise CheckpointError(
            tr("{path} was replaced by another model meanwhile: run the same command again",
               path=path)
        )  # fmt: skip


def _settings(spec: EngineSpec) -> list:
    """All that a result depends on beside its pair; not how long it may take."""
    given = (
        spec.config.model_dump_json(exclude={"data": {"clip_timeout_s"}}) if spec.config else None
    )
    # Without a config of its own, inference follows the usual one.
    inference = (spec.config or load_config()).inference.model_dump_json()
    overrides = [text for text in spec.overrides if override_key(text) != TIMEOUT_KEY]
    return [spec.sha256, overrides, given, inference]


def _timeout_s(spec: EngineSpec) -> float:
    """How long a pair may take; 0: there is no limit. It is not the checkpoint's to say."""
    overrides = [text for text in spec.overrides if override_key(text) == TIMEOUT_KEY]
    return with_overrides(spec.config or load_config(), overrides, "--set").data.clip_timeout_s


def _advance(progress: Callable[[], object], n_pairs: int) -> None:
    for _ in range(n_pairs):
        progress()


def _process_job(context: tuple[EngineSpec, str], job: tuple[str, Pair]) -> dict:
    spec, tempfile.tempdir = context
    return process_pair(_engine(spec), job[1])


@cache
def _engine(spec: EngineSpec) -> Engine:
    return spec.build()


def ranked(
    engine: Engine,
    pairs: Iterable[tuple[str | Path, str | Path]],
    face: str | int = "speaking",
    streams: StreamChoice = DEFAULT_STREAMS,
) -> list[dict]:
    """Score pairs and sort them: first those whose audio belongs to the video, in sync or not.

    By the probability that the reported offset is correct, in percent, then by the confidence
    (LSE-C), which still tells pairs apart where all are certain, and where no offset is reported:
    small probabilities of different amounts of speech do not compare.

    Args:
        pairs: (video, audio) each.

    Returns:
        results as those of ``LipSyncInference.batch_process``, best match first.
    """
    results = [
        process_pair(engine, pair) for pair in with_outputs(pairs, None, face=face, streams=streams)
    ]
    for result in results:
        del result["is_unusable"]

    def rank(result: dict) -> tuple[int, float]:
        details = result["details"] or {}
        probability, confidence = details.get("offset_probability"), details.get("confidence")
        is_reported = details.get("status") == "ok"
        return round(100 * (probability or 0)) if is_reported else 0, confidence or 0.0

    return sorted(results, key=rank, reverse=True)
