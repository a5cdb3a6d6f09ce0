"""Clips -> samples and their index."""

import csv
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from ..core.config import Config, DataConfig
from ..core.errors import DatasetError, LipSyncError, NoAudioError, OutputError
from ..core.files import ensure_folder, file_sha256, written_atomically
from ..core.notes import note_text
from ..core.progress import Progress, no_progress
from ..core.table_cells import cell
from ..core.workers import (
    Crashed,
    MapJobs,
    TimedOut,
    crash_text,
    map_in_processes,
    timeout_text,
)
from ..faces.detection import Detector, make_detector
from ..i18n.messages import tr, tr_n
from ..media.container import check_file
from ..preprocessing.clip_features import ClipFeatures
from ..preprocessing.extract import ExtractOptions, extract_clip
from .clips import Clip
from .index import (
    INDEX_NAME,
    SAMPLES_FOLDER,
    UNPACKED_FOLDER,
    index_locked,
    load_index_to_extend,
    remove_unreferenced_samples,
    sample_settings,
    single_path,
    write_index,
)
from .local_copies import local_copy, version_of
from .tar_shards import PLACE_KEYS, packer_of

logger = logging.getLogger(__name__)

MIN_SPEECH_FRAMES = 5  # nothing can be learned from a sample with less speech
SAVE_EVERY_S = 10  # interval at which the index is written while clips are processed

ClipResult = str | tuple[list[dict], bool]  # see ``process_clip``


@dataclass
class ProcessingReport:
    """Result of a run.

    Attributes:
        samples: records of the index.
        skipped: (clip, reason) of those that cannot be used.
        unused: (file, reason) of files in the folders that belong to no clip.
        partially_used: (clip, what of it was skipped).
        n_reused: clips that were processed already.
        n_embedded_audio: clips without an audio file.
        n_missing: clips of the index that are no longer in the video folder.
        n_packed: samples that were put into shards.
        skipped_table, partially_used_table: the two lists as .csv files.
    """

    samples: list[dict] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unused: list[tuple[str, str]] = field(default_factory=list)
    partially_used: list[tuple[str, str]] = field(default_factory=list)
    n_reused: int = 0
    n_embedded_audio: int = 0
    n_missing: int = 0
    n_packed: int = 0
    skipped_table: Path | None = None
    partially_used_table: Path | None = None

    def add(self, clip: Clip, result: ClipResult) -> None:
        """Count the result of a clip."""
        if isinstance(result, str):
            self.skipped.append((clip.name, result))
            return
        records, is_reused = result
        self.n_reused += is_reused
        self.n_embedded_audio += clip.audio is None
        if records and records[0]["notes"]:
            self.partially_used.append((clip.name, "; ".join(records[0]["notes"])))

    def write_tables(self, folder: Path, index_name: str) -> None:
        """Write ``skipped`` with ``unused``, and ``partially_used``, beside the index."""
        self.skipped_table = _table_path(folder, "skipped", index_name)
        _write_table(self.skipped_table, ("video", "reason"), [*self.skipped, *self.unused])
        self.partially_used_table = _table_path(folder, "used_in_part", index_name)
        _write_table(self.partially_used_table, ("video", "left out"), self.partially_used)


class _GrowingIndex:
    """An index on disk that is extended as clips are finished.

    Attributes:
        old_records: its records at the start, by clip.
    """

    def __init__(self, path: Path, settings: dict, clips: list[Clip], overwrite: bool, prune: bool):
        self._path, self._settings = path, settings
        self._clip_names = [clip.name for clip in clips]
        self.old_records = load_index_to_extend(path, settings, overwrite)
        self._records = dict(self.old_records)  # clips that an interrupted run misses stay
        if prune:
            self._records = {
                name: self.old_records[name] for name in self._clip_names
                if name in self.old_records
            }  # fmt: skip
        self._saved_at = time.monotonic()

    @property
    def n_missing(self) -> int:
        """Clips of the old index that are not among the clips of this run."""
        return len(set(self.old_records) - set(self._clip_names))

    @property
    def samples(self) -> list[dict]:
        """Records in the order of the clips, each once."""
        names = dict.fromkeys([*self._clip_names, *self._records])
        return [record for name in names for record in self._records.get(name, [])]

    def set_result(self, clip: Clip, result: ClipResult) -> None:
        """Replace the records of a clip; those of a file that is missing now stay, and those of one
        at a URL that failed, for it may have been the network."""
        if not isinstance(result, str):
            self._records[clip.name] = [
                {key: value for key, value in record.items() if key not in PLACE_KEYS}
                for record in result[0]
            ]
        elif isinstance(clip.video, Path) and clip.video.exists():
            self._records[clip.name] = []

    def save(self) -> None:
        """Write the index; only then remove the samples that were replaced."""
        samples = self.samples
        write_index(self._path, self._settings, samples)
        remove_unreferenced_samples(self._path.parent, self.old_records, samples)
        self._saved_at = time.monotonic()

    def save_if_due(self) -> None:
        """Write the index every few seconds."""
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self.save()


def process_clips(
    config: Config,
    clips: list[Clip],
    index_name: str = INDEX_NAME,
    overwrite: bool = False,
    prune: bool = False,
    progress: Progress = no_progress,
    unused: Sequence[tuple[str, str]] = (),
    map_jobs: MapJobs | None = None,
) -> ProcessingReport:
    """Turn clips into samples; the index on disk grows as clips are finished.

    A clip that is unchanged since it was added to the index is not processed again. A clip that
    cannot be used is reported, never raised.

    Args:
        config: the settings.
        clips: what to process.
        index_name: of the index in ``data.processed_dir``.
        overwrite: start over where the index was made with other settings.
        prune: drop samples of clips that are no longer among ``clips``.
        progress: reports the clips; what it returns is closed, so that a bar ends before an error
            is printed.
        unused: files in the folders that belong to no clip, for the table of what was skipped.
        map_jobs: does the work; None: processes of this machine.

    Raises:
        ClusterError: the cluster is lost.
        DatasetError: the index was made with other settings.
        DetectorError: the detector cannot be started.
        InUseError: another run processes clips into the same index.
        OutputError: the results cannot be written.
    """
    make_detector(config.data)  # one that cannot be started ends the run before it begins
    folder = Path(config.data.processed_dir)
    for name in (SAMPLES_FOLDER, *((UNPACKED_FOLDER,) if config.data.format == "shards" else ())):
        ensure_folder(folder / name)
    with index_locked(folder / index_name):
        return _process_clips(
            config, clips, index_name, overwrite, prune, progress, unused,
            map_jobs or map_in_processes,
        )  # fmt: skip


def _process_clips(
    config: Config, clips: list[Clip], index_name: str, overwrite: bool, prune: bool,
    progress: Progress, unused: Sequence[tuple[str, str]], map_jobs: MapJobs,
) -> ProcessingReport:  # fmt: skip
    folder, settings = Path(config.data.processed_dir), sample_settings(config.data)
    data, packer = config.data, None
    if index_name == INDEX_NAME:
        packer = packer_of(data, settings)
    else:  # of one of several runs: packed when they are merged
        data = data.model_copy(update={"format": "files"})
    index = _GrowingIndex(folder / index_name, settings, clips, overwrite, prune)
    report = ProcessingReport(n_missing=index.n_missing, unused=list(unused))
    jobs = [(clip, index.old_records.get(clip.name, [])) for clip in clips]
    if packer:
        jobs = [(clip, packer.with_places(records)) for clip, records in jobs]
    _remove_work_folders(folder, clips)  # a killed run may have left some
    try:
        with (
            closing(
                map_jobs(process_clip, data, jobs, data.num_workers, data.clip_timeout_s)
            ) as results,
            closing(progress(results, tr("processing videos"), len(clips))) as reported_results,
        ):
            for (clip, _), result in reported_results:
                if isinstance(result, Crashed):
                    result = crash_text(clip.video, result)
                if isinstance(result, TimedOut):
                    result = timeout_text(clip.video, result)
                report.add(clip, result)
                index.set_result(clip, result)
                index.save_if_due()
                if packer and packer.is_due([] if isinstance(result, str) else result[0]):
                    index.save()
                    report.n_packed += packer.pack(packer.available(index.samples))
    finally:
        _remove_work_folders(folder, clips)
        index.save()
    report.samples = index.samples
    if packer and report.samples:
        available = packer.available(report.samples)
        report.n_packed += packer.pack(available)
        packer.tidy()
        if len(available) < len(report.samples):
            logger.warning(
                tr_n("{n} sample of the index is in no shard that is whole, nor in a file: put its "
                     "clip back and run again, or drop it with --prune",
                     "{n} samples of the index are in no shard that is whole, nor in a file: put "
                     "their clips back and run again, or drop them with --prune",
                     len(report.samples) - len(available))
            )  # fmt: skip
    report.write_tables(folder, index_name)
    return report


def _table_path(folder: Path, name: str, index_name: str) -> Path:
    """``dataset_index.shard-0-of-2.pkl`` goes with ``skipped.shard-0-of-2.csv``."""
    return folder / f"{name}{Path(index_name).stem.removeprefix(Path(INDEX_NAME).stem)}.csv"


def _write_table(path: Path, header: tuple, rows: list[tuple]) -> None:
    with (
        written_atomically(path) as temporary_path,
        # With a byte order mark, spreadsheets read Chinese correctly.
        # Old archives hold names that are not UTF-8.
        open(
            temporary_path, "w", newline="", encoding="utf-8-sig", errors="backslashreplace"
        ) as file,
    ):
        csv.writer(file).writerows([header, *(map(cell, row) for row in sorted(rows))])


@cache
def _cached_detector(settings: DataConfig) -> Detector:
    return make_detector(settings)


def process_clip(settings: DataConfig, job: tuple[Clip, list[dict]]) -> ClipResult:
    """Process one clip.

    Args:
        settings: the ``data`` section.
        job: the clip and its records in the old index.

    Returns:
        its records and whether they were there already, or the reason why it cannot be used.

    Raises:
        OutputError: the samples cannot be written; no other clip's could.
    """
    clip, old_records = job
    try:
        return _process(settings, clip, old_records)
    except OutputError:
        raise
    except NoAudioError as error:
        if clip.audio:
            return str(error)
        return tr(
            "no matching audio file: {path} has no audio track; put {stem}.wav into {folder}",
            path=clip.video, stem=clip.video.stem, folder=settings.audio_dir,
        )  # fmt: skip
    except LipSyncError as error:
        return str(error)
    # One bad clip must never end the run, whatever a decoder raises.
    except Exception as error:
        logger.warning(tr("unexpected error with {path}; please report it:", path=clip.video),
                       exc_info=True)  # fmt: skip
        return tr(
            "unreadable: {path}: {why}", path=clip.video, why=f"{type(error).__name__}: {error}"
        )


def _process(settings: DataConfig, clip: Clip, old_records: list[dict]) -> tuple[list[dict], bool]:
    """Extract the features of a clip and write its samples, unless they are there already.

    Raises:
        LipSyncError: the clip cannot be used, or its samples cannot be written.
    """
    version = version_of(clip)
    if version and _can_reuse(settings, old_records, {"source_version": version}):
        return old_records, True
    with local_copy(clip) as local:
        try:
            return _process_local(settings, local, old_records, version)
        except LipSyncError as error:
            if local is clip:
                raise
            raise type(error)(str(error).replace(str(local.video), str(clip.video))) from None


def _process_local(
    settings: DataConfig, clip: Clip, old_records: list[dict], version: str
) -> tuple[list[dict], bool]:
    """``_process``, of files on this machine.

    Args:
        version: of the files at a URL that these are copies of; empty: they are none.
    """
    folder = Path(settings.processed_dir)
    for source in filter(None, (clip.video, clip.audio)):
        check_file(source)
    digests = {
        "video_sha256": file_sha256(clip.video),
        "audio_sha256": file_sha256(clip.audio) if clip.audio else "",
    }
    mark = {"source_version": version} if version else {}
    if _can_reuse(settings, old_records, digests):
        return [record | mark for record in old_records], True
    stem = _file_stem(clip.name, *digests.values(), *sample_settings(settings).values())
    work_folder = _make_work_folder(folder, clip)
    try:
        features = extract_clip(
            clip.video, clip.audio, settings, _cached_detector(settings), work_folder,
            ExtractOptions(settings.min_frames),
        )  # fmt: skip
        kept = UNPACKED_FOLDER if settings.format == "shards" else SAMPLES_FOLDER
        return _store_samples(clip, features, folder / kept, stem, digests | mark), False
    finally:
        shutil.rmtree(work_folder, ignore_errors=True)


def _can_reuse(settings: DataConfig, records: list[dict], sources: dict) -> bool:
    """Whether there are samples of a clip, made from these sources."""
    return bool(records) and all(
        sources.items() <= record.items() and ("shard" in record or _is_kept(settings, record))
        for record in records
    )


def _is_kept(settings: DataConfig, record: dict) -> bool:
    """Whether a sample of an earlier run is in a file of its own."""
    folder = Path(settings.processed_dir)
    if settings.format == "shards":
        return single_path(folder, record).is_file()
    return (folder / record["file"]).is_file()


def _store_samples(
    clip: Clip, features: ClipFeatures, folder: Path, stem: str, digests: dict
) -> list[dict]:
    """Move the samples with enough speech to their names in a folder; their records.

    Raises:
        DatasetError: no sample has enough speech.
        OutputError: a sample cannot be moved.
    """
    tracks = [track for track in features.tracks if track.n_speech_frames >= MIN_SPEECH_FRAMES]
    if not tracks:
        raise DatasetError(
            tr("no speech while a face is visible in {path}: use talking-head videos",
               path=clip.video)
        )  # fmt: skip
    records = []
    for number, track in enumerate(tracks):
        name = f"{stem}-{number}.npy"
        try:
            os.replace(track.path, folder / name)
        except OSError as error:
            raise OutputError(
                tr("cannot write {path}: {why}", path=folder / name, why=error.strerror)
            ) from None
        records.append(
            {
                "id": f"{clip.name}#{number}",
                "file": f"{SAMPLES_FOLDER}/{name}",
                "clip": clip.name,
                "speaker": clip.speaker,
                "first_frame": track.first_frame,
                "n_frames": track.n_frames,
                "fps": features.info.fps,
                "face_share": features.face_share,
                "speech_share": track.n_speech_frames / track.n_frames,
                "faces": features.n_faces,
                "notes": [note_text(note) for note in features.notes],
                "offset_ms": 0.0,
                **digests,
            }
        )
    return records


def _make_work_folder(folder: Path, clip: Clip) -> Path:
    """Make a folder to process a clip in. Its name begins with one that depends on the clip's
    alone, so it is found again, and goes on so that each try has its own: a cluster may begin a
    clip twice.

    Raises:
        OutputError: it cannot be made.
    """
    samples = ensure_folder(folder / SAMPLES_FOLDER)
    try:
        return Path(tempfile.mkdtemp(prefix=_work_prefix(clip), dir=samples))
    except OSError as error:
        raise OutputError(
            tr("cannot create the folder {path}: {why}", path=samples, why=error.strerror or error)
        ) from None


def _work_prefix(clip: Clip) -> str:
    return f".{_file_stem(clip.name)}."


def _remove_work_folders(folder: Path, clips: list[Clip]) -> None:
    """Remove what crashed or interrupted processes left of these clips."""
    prefixes = {_work_prefix(clip) for clip in clips}
    for path in (folder / SAMPLES_FOLDER).glob(".*"):
        # Earlier versions gave them no ending.
        if {path.name.rpartition(".")[0] + ".", path.name + "."} & prefixes:
            shutil.rmtree(path, ignore_errors=True)


def _file_stem(name: str, *dependencies) -> str:
    """A file name for any clip name, distinct for distinct names, contents and settings."""
    plain = re.sub(r"[^\w-]+", "_", Path(name).stem)[:40]
    return f"{plain}-{sha256(repr((name, *dependencies)).encode()).hexdigest()[:12]}"
