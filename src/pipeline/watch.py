"""A folder that is watched: every video that arrives in it is corrected into another folder.

The folder is listed again and again, which works on network drives, too. What is done stands in the
table of results: a restart goes on from it.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..core.errors import ConfigError, DatasetError, MissingFileError
from ..core.files import ensure_folder, folder_created, real_path, written_atomically
from ..core.locks import locked
from ..i18n.messages import tr
from ..media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from .batch import EngineSpec, run_batch
from .pairs import Pair, with_outputs
from .summary_table import SummaryTable, fingerprint, recorded_outputs, to_row

logger = logging.getLogger(__name__)

SUMMARY_NAME = "summary.csv"
LOCK_NAME = ".lipsync-watch.lock"
# So many of those that wait are given to each process: it loads the model once for all of them,
# and what arrives meanwhile does not wait for long.
PAIRS_PER_WORKER = 8
# Names under which browsers and copying programs write, also before the right suffix.
TEMPORARY_SUFFIXES = {
    ".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart",
}  # fmt: skip

# (pairs, called with each pair and its result): of ``batch.process_pair``.
Process = Callable[[list[Pair], Callable[[Pair, dict], object]], object]


@dataclass(frozen=True)
class Arrival:
    """A video in the watched folder, as it was at one look.

    Attributes:
        video, audio: absolute paths; audio None: the video's own.
        version: changes with the size or the time of change of either.
    """

    video: str
    audio: str | None
    version: str


def check_apart(source: Path, target: Path) -> None:
    """Refuse two folders of which one is in the other: what is written would be watched.

    Raises:
        MissingFileError: there is no folder to be watched.
        ConfigError: they are not apart.
    """
    if not source.is_dir():
        raise MissingFileError(tr("--watch {path}: there is no such folder", path=source))
    if _is_within(source, target) or _is_within(target, source):
        raise ConfigError(
            tr("--watch {source} {target}: neither folder may be in the other one",
               source=source, target=target)
        )  # fmt: skip


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or below it, also by links or in other letters."""
    path = real_path(path)
    return folder.exists() and any(
        os.path.samefile(parent, folder) for parent in (path, *path.parents) if parent.exists()
    )


class WatchedFolder:
    """What arrives in a folder, and the results in another one.

    Args:
        source: is watched, with its subfolders; nothing in it is changed.
        target: gets, in the same subfolders, corrected videos (named as by ``pairs.with_outputs``)
            and a result of each video (``<video file>.json``), and the table ``summary.csv``; made
            if missing.

    Raises:
        DatasetError: another file has the name of the table.
        OutputError: the folder cannot be written.
        and as ``check_apart``.
    """

    def __init__(self, source: str | Path, target: str | Path):
        check_apart(Path(source), Path(target))
        self.source, self.target = real_path(source), real_path(target)
        self.summary = ensure_folder(self.target) / SUMMARY_NAME
        self._table = SummaryTable(self.summary)
        try:
            rows = self._table.start()
        except DatasetError:
            raise DatasetError(
                tr("{path} is not a summary of this program: name another folder for the results",
                   path=self.summary)
            ) from None  # fmt: skip
        self._done = {row["fingerprint"] for row in rows}
        self._last_look: dict[str, Arrival] = {}
        self._versions = {row["video"]: row["fingerprint"] for row in rows}  # by video
        self._blocked: set[str] = set()  # files that cannot be opened, as was said
        self._is_gone = False

    def look(self) -> list[Arrival]:
        """The videos that are complete and not done yet, in the order of their names: they can be
        opened, and neither they nor their audio have changed since the look before."""
        arrivals = {arrival.video: arrival for arrival in self._arrivals()}
        ready = [arrival for video, arrival in arrivals.items()
                 if self._last_look.get(video) == arrival]  # fmt: skip
        self._last_look = arrivals
        return ready

    def process(
        self, arrivals: list[Arrival], process: Process, report: Callable[[str], object]
    ) -> None:
        """Correct videos and write their results.

        Args:
            arrivals: of ``look``.
            process: does the work.
            report: called with a line about each.

        Raises:
            OutputError: a result or the table cannot be written.
        """
        by_video = {arrival.video: arrival for arrival in arrivals}

        def finish(pair: Pair, result: dict) -> None:
            arrival = by_video[pair.video]
            is_same = self._arrival(arrival.video, arrival.audio) == arrival
            if result["details"] is None and not is_same:
                return  # it was removed or is being replaced: another look will tell
            self._write_result(arrival, result)
            # What the file is not to blame for (a full disk) is tried again by the next run.
            is_final = result["details"] is not None or result["is_unusable"]
            self._table.finish([to_row(result, arrival.version if is_final else "")])
            self._done.discard(self._versions.get(arrival.video, ""))
            self._done.add(arrival.version)
            self._versions[arrival.video] = arrival.version
            name = Path(arrival.video).relative_to(self.source)
            report(f"{name}: {'; '.join([result['message'], *result.get('notes', [])])}")

        process(list(self._pairs(arrivals)), finish)

    def _pairs(self, arrivals: list[Arrival]) -> Iterator[Pair]:
        """With names for the outputs, those of earlier versions of the same files again."""
        recorded = recorded_outputs(self.summary)
        by_folder: dict[Path, list[tuple[str, str | None]]] = {}
        for arrival in arrivals:
            folder = self._target_of(arrival.video).parent
            by_folder.setdefault(folder, []).append((arrival.video, arrival.audio))
        for folder, pairs in by_folder.items():
            yield from with_outputs(pairs, folder, recorded=recorded)

    def _target_of(self, path: str) -> Path:
        return self.target / Path(path).relative_to(self.source)

    # ------------------------------------------------------------------------ what is there

    def _arrivals(self) -> Iterator[Arrival]:
        """The videos that are not done and can be opened, with their audio."""
        is_gone = not self.source.is_dir()
        if is_gone != self._is_gone:
            self._is_gone = is_gone
            text = (
                tr("{path} is gone: waiting until it is back", path=self.source)
                if is_gone else tr("{path} is back", path=self.source)
            )  # fmt: skip
            logger.warning(text)
        for folder, subfolders, names in os.walk(self.source):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            names = sorted(filter(_is_final_name, names))
            audio_by_stem = _audio_by_stem(names)
            for name in names:
                video = Path(folder, name)
                if video.suffix.lower() not in VIDEO_SUFFIXES or not video.is_file():
                    continue
                audio = audio_by_stem.get(video.stem)
                arrival = self._arrival(str(video), audio and str(Path(folder, audio)))
                if arrival.version in self._done or not self._can_be_opened(arrival):
                    continue
                # Opening asks a network drive for the size that the file has now.
                yield self._arrival(arrival.video, arrival.audio)

    def _arrival(self, video: str, audio: str | None) -> Arrival:
        return Arrival(video, audio, fingerprint(Pair(video, audio, None), []))

    def _can_be_opened(self, arrival: Arrival) -> bool:
        """Not while another program keeps a file to itself, as it does on Windows until it is
        copied; an empty file is one that somebody is about to write."""
        for path in filter(None, (arrival.video, arrival.audio)):
            try:
                with open(path, "rb") as file:
                    if not file.read(1):
                        return False
            except FileNotFoundError:
                return False
            except OSError as error:
                if path not in self._blocked:
                    self._blocked.add(path)
                    logger.warning(tr("waiting for {path}: {why}", path=path,
                                      why=error.strerror or error))  # fmt: skip
                return False
            self._blocked.discard(path)
        return True

    # ------------------------------------------------------------------------ results

    def _write_result(self, arrival: Arrival, result: dict) -> None:
        """``{"video", "audio", "error"}`` of a video that could not be used, else in place of
        ``error`` what ``src/inference.py --json`` prints."""
        content = {"video": arrival.video, "audio": arrival.audio}
        if result["details"] is None:
            content["error"] = result["message"]
        else:
            keys = ("score", "details", "success", "message", "notes", "output")
            content |= {key: result[key] for key in keys}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        path = self._result_path(arrival.video)
        with folder_created(path.parent), written_atomically(path) as temporary_path:
            # Names that are no text come out as the escapes that JSON has for them.
            temporary_path.write_bytes(text.encode(errors="backslashreplace"))

    def _result_path(self, video: str) -> Path:
        """``<video file>.json``, numbered where a file has that name which is not of this video."""
        plain = self._target_of(video)
        number, path = 1, plain.with_name(f"{plain.name}.json")
        while os.path.lexists(path) and _video_of(path) != video:
            number += 1
            path = plain.with_name(f"{plain.name}_{number}.json")
        return path


def _is_final_name(name: str) -> bool:
    """Whether no program gives such a name to a file until it is complete."""
    suffixes = {suffix.lower() for suffix in Path(name).suffixes}
    return not name.startswith((".", "~")) and not suffixes & TEMPORARY_SUFFIXES


def _audio_by_stem(names: list[str]) -> dict[str, str]:
    """The audio files of a folder by their names without suffix, the first of
    ``AUDIO_SUFFIXES``."""
    ranks = {suffix: rank for rank, suffix in enumerate(AUDIO_SUFFIXES)}
    audio = [name for name in names if Path(name).suffix.lower() in ranks]
    audio.sort(key=lambda name: ranks[Path(name).suffix.lower()], reverse=True)
    return {Path(name).stem: name for name in audio}


def _video_of(path: Path) -> str | None:
    """The video that a result is of; None: the file is no result."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content.get("video") if isinstance(content, dict) else None


def watch(
    folder: WatchedFolder, spec: EngineSpec, report: Callable[[str], object],
    interval_s: float,
) -> NoReturn:  # fmt: skip
    """Correct what arrives in a folder until the process is interrupted.

    Args:
        spec: what processes build their engine from; the model is loaded when something arrives.
        report: called with a line at the start, and one about each video.
        interval_s: between two looks at the folder.

    Raises:
        InUseError: another run writes into the same folder.
        MissingFileError, CheckpointError, ConfigError: the model cannot be used.
        OutputError: a result cannot be written.
    """
    with locked(folder.target / LOCK_NAME, folder.target):
        spec.build()  # a model that cannot be used is refused now
        workers = spec.count_workers(0)
        report(tr("Watching {source}; results go to {target} (Ctrl+C ends it)",
                  source=folder.source, target=folder.target))  # fmt: skip

        def process(pairs: list[Pair], finish: Callable[[Pair, dict], object]) -> None:
            run_batch(spec, pairs, None, workers=workers, finished=finish)

        while True:
            if arrivals := folder.look()[: PAIRS_PER_WORKER * workers]:
                folder.process(arrivals, process, report)
            time.sleep(interval_s)
