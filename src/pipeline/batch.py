"""Many pairs of video and sound, judged or mended each by itself, and a table of what came of it.

Each pair is worked on in a process of its own kind (``worker_pool``), which loads the model once: a
pair that cannot be used, or takes its process down, costs only itself. The table is brought up to
date after every pair, so that a run that was stopped goes on where it was.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ..core.config import Config, load_config
from ..core.errors import LipSyncError
from ..core.files import ensure_folder
from ..core.workers import Crashed, map_in_processes
from ..i18n.messages import tr
from .pairs import Pair, with_outputs
from .summary_table import _fingerprint, _holds, _row, _write, read_summary, values_of


class Engine(Protocol):
    """What judges and corrects a pair: ``LipSyncInference``."""

    def compute_sync_score(self, video_path, audio_path, face=...) -> tuple[float | None, dict]: ...

    def correct_sync(self, video_path, audio_path, output_path, face=..., fit=...) -> tuple: ...


class EngineSpec(Protocol):
    """What a process of a batch makes its engine of: hashable by identity, and can be pickled.

    Attributes:
        checkpoint, config, overrides: as in ``engine.EngineSpec``.
        sha256: of a model that is in memory already; None: that of the file counts.
    """

    checkpoint: Path
    config: Config | None
    overrides: tuple[str, ...]
    sha256: str | None

    def build(self) -> Engine: ...


def process_pair(inference, pair: Pair) -> dict:
    """What comes of a pair; whatever goes wrong is told in it, not raised.

    Args:
        inference: a ``LipSyncInference``.

    Returns:
        as an element of what ``LipSyncInference.batch_process`` returns.
    """
    result = {"video": pair.video, "audio": pair.audio, "success": False, "output": None,
              "score": None, "details": None}  # fmt: skip
    options = dict(pair.options)
    try:
        if pair.output is None:
            score, details = inference.compute_sync_score(pair.video, pair.audio, **options)
            result |= {"score": score, "details": details, "message": details["verdict"],
                       "success": details["undetermined"] is None}  # fmt: skip
        else:
            success, message, found = inference.correct_sync(
                pair.video, pair.audio, pair.output, **options
            )
            told = "; ".join([message, *found["notes"]])
            result |= {"success": success, "message": told, "score": found["score_before"],
                       "details": found["details"]}  # fmt: skip
    except LipSyncError as error:
        result["message"] = str(error)
    # One bad pair must never stop the rest, whatever a decoder makes of it.
    except Exception as error:
        result["message"] = f"{type(error).__name__}: {error}"
    if result["success"] and pair.output is not None:
        result["output"] = str(pair.output)
    return result


def run_batch(
    spec: EngineSpec,
    pairs: list[Pair],
    summary: Path | None,
    workers: int = 0,
    progress: Callable[[], object] = lambda: None,
    inference=None,
    details: bool = False,
) -> list[dict]:
    """Work on many pairs, in processes or here, and keep the table of what came of them.

    A pair that the table tells the result of is not worked on again, unless one of its files,
    the model or the settings have changed, its output is gone, or it could not be read.

    Args:
        spec: what processes make their engine of.
        pairs: what to do.
        summary: the table (CSV); None: none is kept, and all pairs are worked on.
        workers: processes; 0: one for each core.
        progress: called after each pair.
        inference: a ``LipSyncInference`` made of the ``spec``, to work with in this process, one
            pair after the other, whatever ``workers`` says; None: processes make their own.
        details: whether to keep them, which takes memory for each pair.

    Returns:
        a dict a pair, in order: the row of the table by ``COLUMNS``, as ``values_of`` gives it,
        and, where it is asked for, ``details`` (None where an earlier run worked on the pair: the
        table does not hold them).

    Raises:
        OutputError: the table cannot be written.
        DatasetError: another file has the name of the table.
    """
    model = spec.sha256 or sha256(spec.checkpoint.read_bytes()).hexdigest()
    # Without settings of its own, those of how to judge are the usual ones.
    told = spec.config.model_dump_json() if spec.config else None
    judging = (spec.config or load_config()).inference.model_dump_json()
    settings = [model, list(spec.overrides), told, judging]
    names = [_fingerprint(pair, settings) for pair in pairs]
    rows, kept = {}, {}
    if summary is not None:
        ensure_folder(summary.parent)
        rows = {row["fingerprint"]: row for row in read_summary(summary) if _holds(row)}
    rows = {name: rows[name] for name in names if name in rows}
    waiting = [(name, pair) for name, pair in dict(zip(names, pairs, strict=True)).items()
               if name not in rows]  # fmt: skip
    times = Counter(names)  # of pairs that are alike one is worked on
    for name in rows:
        for _ in range(times[name]):
            progress()
    # A process that crashes leaves its files: they go with this folder.
    with tempfile.TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
        if inference is None:
            results = map_in_processes(_work, (spec, folder), waiting, workers)
        else:
            results = ((job, process_pair(inference, job[1])) for job in waiting)
        for (name, pair), result in results:
            if isinstance(result, Crashed):
                result = {"video": pair.video, "audio": pair.audio, "success": False,
                          "output": None, "score": None, "details": None,
                          "message": tr("unreadable: the decoder crashed on {path}",
                                        path=pair.video)}  # fmt: skip
            rows[name] = _row(result, name)
            if details:
                kept[name] = result["details"]
            if summary is not None:
                _write(summary, [rows[name] for name in names if name in rows])
            for _ in range(times[name]):
                progress()
    if summary is not None:
        _write(summary, [rows[name] for name in names])
    # A table cannot hold every name as it is: names that are no text stand there escaped.
    return [
        values_of(rows[name]) | {"video": pair.video, "audio": pair.audio}
        | ({"details": kept.get(name)} if details else {})
        for name, pair in zip(names, pairs, strict=True)
    ]  # fmt: skip


def _work(context: tuple[EngineSpec, str], job: tuple[str, Pair]) -> dict:
    spec, tempfile.tempdir = context
    return process_pair(_engine(spec), job[1])


@cache
def _engine(spec: EngineSpec) -> Engine:
    return spec.build()


def ranked(
    inference, pairs: Iterable[tuple[str | Path, str | Path]], face: str | int = "speaking"
) -> Iterator[dict]:
    """Judge pairs and put those first whose sound belongs to the picture, in sync or not.

    First by the chance that a relation was found at some offset, in percent, then by the
    confidence (LSE-C), which goes on telling pairs apart where all are certain.

    Args:
        inference: a ``LipSyncInference``.
        pairs: (video, sound) each.

    Returns:
        results as those of ``LipSyncInference.batch_process``, best first.
    """
    judged = [
        process_pair(inference, replace(pair, options=(("face", face),)))
        for pair in with_outputs(pairs, None)
    ]

    def rank(result: dict) -> tuple[int, float]:
        details = result["details"] or {}
        chance, confidence = details.get("offset_probability"), details.get("confidence")
        return round(100 * (chance or 0)), confidence or 0.0

    return sorted(judged, key=rank, reverse=True)
