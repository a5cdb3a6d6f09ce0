"""Many pairs of video and sound, judged or mended each by itself, and a table of what came of it.

Each pair is worked on in a process of its own kind (``worker_pool``), which loads the model once: a
pair that cannot be used, or takes its process down, costs only itself. The table is brought up to
date after every pair, so that a run that was stopped goes on where it was.
"""

import csv
import io
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from src.clips import find_clips
from src.config import Config, load_config
from src.errors import DatasetError, LipSyncError, MissingFileError
from src.files import made_folder, written_aside
from src.messages import tr
from src.worker_pool import Crashed, results_of

COLUMNS = (
    "video", "audio", "success", "score", "offset_ms", "offset_probability", "status", "verdict",
    "message", "output", "fingerprint",
)  # fmt: skip
NUMBERS = ("score", "offset_ms", "offset_probability")


@dataclass(frozen=True)
class Pair:
    """What is to be done with a video and its sound.

    Attributes:
        video, audio: the files; the sound may be None: the video's own.
        output: where the mended video goes; None: the pair is only judged.
        options: more arguments of ``LipSyncInference.mend``, by name.
    """

    video: str
    audio: str | None
    output: Path | None
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, eq=False)  # settings hold lists, which have no hash: each is itself alone
class Judge:
    """What the processes make their ``LipSyncInference`` of: its arguments.

    Attributes:
        sha256: of a model that is in memory already; None: that of the file counts.
    """

    checkpoint: Path
    device: str | None
    config: Config | None
    overrides: tuple[str, ...]
    sha256: str | None = None


def free_name(folder: Path, video: Path, taken: set[Path]) -> Path:
    """``<video name>_synced<suffix>``, numbered where that name is taken: by the output of
    another video of a batch, or by an input."""
    number = 1
    while True:
        tail = "_synced" if number == 1 else f"_synced_{number}"
        path = folder / f"{video.stem}{tail}{video.suffix}"
        if path.resolve() not in taken:
            taken.add(path.resolve())
            return path
        number += 1


def with_outputs(
    pairs: Iterable[tuple[str | Path, str | Path | None]], folder: Path | None, **options
) -> list[Pair]:
    """Pairs with a name for the output of each.

    Args:
        pairs: (video, sound or None) each.
        folder: where the outputs go; None: pairs are only judged.
        options: of ``LipSyncInference.mend``, for all.
    """
    pairs = list(pairs)
    taken = {Path(path).resolve() for pair in pairs for path in pair if path is not None}
    return [
        Pair(
            str(video), None if audio is None else str(audio),
            None if folder is None else free_name(folder, Path(video), taken),
            tuple(options.items()),
        )
        for video, audio in pairs
    ]  # fmt: skip


def done(inference, pair: Pair) -> dict:
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
            success, message, found = inference.mend(pair.video, pair.audio, pair.output, **options)
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
    judge: Judge,
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
        judge: what to work with.
        pairs: what to do.
        summary: the table (CSV); None: none is kept, and all pairs are worked on.
        workers: processes; 0: one for each core.
        progress: called after each pair.
        inference: a ``LipSyncInference`` made of the ``judge``, to work with in this process, one
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
    model = judge.sha256 or sha256(judge.checkpoint.read_bytes()).hexdigest()
    # Without settings of its own, those of how to judge are the usual ones.
    told = judge.config.model_dump_json() if judge.config else None
    judging = (judge.config or load_config()).inference.model_dump_json()
    settings = [model, list(judge.overrides), told, judging]
    names = [_fingerprint(pair, settings) for pair in pairs]
    rows, kept = {}, {}
    if summary is not None:
        made_folder(summary.parent)
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
            results = results_of(_work, (judge, folder), waiting, workers)
        else:
            results = ((job, done(inference, job[1])) for job in waiting)
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


def _work(context: tuple[Judge, str], job: tuple[str, Pair]) -> dict:
    judge, tempfile.tempdir = context
    return done(_inference(judge), job[1])


@cache
def _inference(judge: Judge):
    from src.inference import LipSyncInference

    return LipSyncInference(judge.checkpoint, judge.device, judge.config, list(judge.overrides))


def _fingerprint(pair: Pair, settings: list) -> str:
    """Changes with the files, the model, and what is asked."""
    seen = []
    for path in (pair.video, pair.audio):
        found = Path(path) if path is not None else None
        stat = found.stat() if found is not None and found.is_file() else None
        seen.append((path, stat and stat.st_size, stat and stat.st_mtime_ns))
    told = repr((seen, pair.output and str(pair.output), pair.options, settings))
    return sha256(told.encode(errors="surrogateescape")).hexdigest()[:16]


def _row(result: dict, fingerprint: str) -> dict:
    """A line of the table."""
    details = result["details"] or {}
    told = {**{name: details.get(name) for name in COLUMNS}, **result, "fingerprint": fingerprint}
    return {name: "" if told[name] is None else str(told[name]) for name in COLUMNS}


def values_of(row: dict) -> dict:
    """A line of the table as values: numbers, a bool for ``success``, and None where nothing stands
    or no number (JSON knows no NaN). Spreadsheets write TRUE, and what they like."""
    values = {name: row[name] or None for name in COLUMNS}
    for name in NUMBERS:
        try:
            value = float(row[name])
        except ValueError:
            value = math.nan
        values[name] = value if math.isfinite(value) else None
    return values | {"success": row["success"].lower() == "true"}


def _holds(row: dict) -> bool:
    """Whether a line is still true: what could not be read is tried again."""
    return bool(row["status"]) and (not row["output"] or Path(row["output"]).is_file())


def _write(path: Path, rows: list[dict]) -> None:
    with (
        written_aside(path) as aside,
        # With a byte order mark, spreadsheets read Chinese right.
        open(aside, "w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_summary(path: Path) -> list[dict]:
    """The rows of an earlier run; none where there was none.

    Raises:
        DatasetError: there is another file of this name, which is not to be lost.
    """
    if not path.exists():
        return []
    rows = _read_csv(path)
    if rows and tuple(rows[0]) != COLUMNS:
        raise DatasetError(
            tr("{path} is not a summary of this program: choose another --summary", path=path)
        )
    return [dict(zip(COLUMNS, row, strict=False)) for row in rows[1:] if len(row) == len(COLUMNS)]


def read_list(path: str | Path) -> list[tuple[str, str | None]]:
    """The pairs of a list.

    Args:
        path: CSV with the columns ``video`` and, where the sound is a file of its own, ``audio``;
            without a head they are the first and the second. Files are looked for from the current
            folder, and then from the folder of the list.

    Raises:
        MissingFileError: there is no such list.
        DatasetError: it is no list of pairs.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(tr("the list {path} is missing", path=path))
    rows = [[cell.strip() for cell in row] for row in _read_csv(path) if any(map(str.strip, row))]
    if not rows:
        raise DatasetError(tr("{path} lists nothing: a line is video,audio", path=path))
    place = {"video": 0, "audio": 1}
    head = [cell.lower() for cell in rows[0]]
    if "video" in head:
        place = {name: head.index(name) if name in head else None for name in place}
        rows = rows[1:]
    pairs = []
    for row in rows:
        video, audio = (
            row[at] if at is not None and at < len(row) else "" for at in place.values()
        )
        if not video:
            raise DatasetError(
                tr("{path}: a line names no video: {line}", path=path, line=",".join(row))
            )
        pairs.append((_found(video, path.parent), _found(audio, path.parent) if audio else None))
    return pairs


def _read_csv(path: Path) -> list[list[str]]:
    """Rows of a table, in the encodings that spreadsheets write."""
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return list(csv.reader(io.StringIO(content.decode(encoding), newline="")))
        except UnicodeDecodeError:
            continue
        except csv.Error:
            break
    raise DatasetError(tr("{path} is no CSV table", path=path))


def _found(name: str, folder: Path) -> str:
    beside = folder / name
    return str(beside) if not Path(name).exists() and beside.exists() else name


def pairs_in(
    config: Config, video_dir: str | Path, audio_dir: str | Path | None
) -> list[tuple[str, str | None]]:
    """The videos of a folder, each with the sound of its name in another one.

    Args:
        audio_dir: None: the videos' own sound.

    Returns:
        (video, sound) each; None: the video's own, also where the other folder has none of its
        name.

    Raises:
        MissingFileError: there is no such folder.
        DatasetError: there is no video, or no sound of the name of any.
    """
    if not os.path.isdir(video_dir):
        raise MissingFileError(
            tr("there is no folder {path}: name with --video-dir the one with the videos",
               path=video_dir)
        )  # fmt: skip
    if audio_dir is not None and not os.path.isdir(audio_dir):
        raise MissingFileError(
            tr("there is no folder {path}: name with --audio-dir the one with the sounds, or leave "
               "it out to use the videos' own", path=audio_dir)
        )  # fmt: skip
    sounds = video_dir if audio_dir is None else audio_dir
    folders = {"video_dir": str(video_dir), "audio_dir": str(sounds)}
    clips = find_clips(config.data.model_copy(update=folders))
    if audio_dir is not None and not any(clip.audio for clip in clips):
        raise DatasetError(
            tr("no sound in {audios} has the name of a video in {videos}, such as {example}.wav: "
               "rename them, or leave out --audio-dir to use the videos' own",
               audios=audio_dir, videos=video_dir, example=clips[0].video.stem)
        )  # fmt: skip
    return [
        (str(clip.video), str(clip.audio) if audio_dir is not None and clip.audio else None)
        for clip in clips
    ]


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
        done(inference, replace(pair, options=(("face", face),)))
        for pair in with_outputs(pairs, None)
    ]

    def rank(result: dict) -> tuple[int, float]:
        details = result["details"] or {}
        chance, confidence = details.get("offset_probability"), details.get("confidence")
        return round(100 * (chance or 0)), confidence or 0.0

    return sorted(judged, key=rank, reverse=True)
