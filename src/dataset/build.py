"""Clips -> samples and their index."""

import csv
import os
import re
import shutil
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from ..core.config import Config, DataConfig
from ..core.errors import DatasetError, LipSyncError, NoAudioError, OutputError
from ..core.files import ensure_folder, file_sha256, written_atomically
from ..core.workers import Crashed, map_in_processes
from ..faces.detection import Detector, make_detector
from ..i18n.messages import tr
from ..media.container import check_file
from ..preprocessing.clip_features import ClipFeatures
from ..preprocessing.extract import extract_clip
from .clips import Clip
from .index import (
    INDEX_NAME,
    SAMPLES_FOLDER,
    index_for,
    remove_replaced,
    sample_settings,
    write_index,
)

MIN_SPEECH_FRAMES = 5  # a sample with less speech teaches nothing
SAVE_EVERY_S = 10  # the index is brought up to date this often while clips are processed


@dataclass
class ProcessingReport:
    """What a run did.

    Attributes:
        samples: records of the index.
        skipped: (clip, reason) of those left out.
        in_part: (clip, what was left out of it).
        reused: clips that were done already.
        own_sound: clips without a sound file.
        gone: clips of the index that are not in the video folder any more.
        skipped_table, in_part_table: the same as files.
    """

    samples: list[dict] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    in_part: list[tuple[str, str]] = field(default_factory=list)
    reused: int = 0
    own_sound: int = 0
    gone: int = 0
    skipped_table: Path | None = None
    in_part_table: Path | None = None


def process_clips(
    config: Config,
    clips: list[Clip],
    index_name: str = INDEX_NAME,
    overwrite: bool = False,
    prune: bool = False,
) -> ProcessingReport:
    """Turn clips into samples; the index on disk grows as clips are finished.

    A clip whose content is that of the index is taken from there. A clip that cannot be used is
    reported, never raised.

    Args:
        config: the settings.
        clips: what to process.
        index_name: of the index in ``data.processed_dir``.
        overwrite: begin anew where the index was made with other settings.
        prune: drop samples of clips that are not among ``clips`` any more.

    Raises:
        DatasetError: the index was made with other settings.
        DetectorError: the detector cannot be started.
        OutputError: the results cannot be written.
    """
    from tqdm import tqdm

    make_detector(config.data)  # one that cannot be started ends the run before it begins
    folder = Path(config.data.processed_dir)
    ensure_folder(folder / SAMPLES_FOLDER)
    settings = sample_settings(config.data)
    known = index_for(folder / index_name, settings, overwrite)
    done = dict(known)  # what an interrupted run does not reach stays in the index
    report = ProcessingReport(gone=len(set(known) - {clip.name for clip in clips}))
    if prune:
        done = {clip.name: known[clip.name] for clip in clips if clip.name in known}
    saved = time.monotonic()

    def save():
        names = dict.fromkeys([clip.name for clip in clips] + list(done))  # each once, in order
        report.samples = [record for name in names for record in done.get(name, [])]
        write_index(folder / index_name, settings, report.samples)
        # Only now nothing leads to the samples that were replaced.
        remove_replaced(folder, known, report.samples)

    jobs = [(clip, known.get(clip.name, [])) for clip in clips]
    try:
        with (
            tqdm(total=len(clips), desc=tr("processing videos"), unit="it") as bar,
            closing(
                map_in_processes(process_clip, config.data, jobs, config.data.num_workers)
            ) as results,
        ):
            for (clip, _), result in results:
                if isinstance(result, Crashed):
                    result = tr("unreadable: the decoder crashed on {path}", path=clip.video)
                if isinstance(result, str):
                    report.skipped.append((clip.name, result))
                    if os.path.exists(clip.video):  # else it is gone, and what is known stays
                        done[clip.name] = []
                else:
                    records, reused = result
                    done[clip.name] = records
                    report.reused += reused
                    report.own_sound += clip.audio is None
                    if records and records[0]["notes"]:
                        report.in_part.append((clip.name, "; ".join(records[0]["notes"])))
                bar.update()
                if time.monotonic() - saved > SAVE_EVERY_S:
                    save()
                    saved = time.monotonic()
    finally:
        # Of processes that went down, or that Ctrl+C ended in the middle.
        left = {path.name: path for path in (folder / SAMPLES_FOLDER).glob(".*")}
        for name in left.keys() & {_workplace(folder, clip).name for clip in clips}:
            shutil.rmtree(left[name], ignore_errors=True)
        save()
    report.skipped_table = _table(folder, "skipped", index_name)
    _write_table(report.skipped_table, ("video", "reason"), report.skipped)
    report.in_part_table = _table(folder, "used_in_part", index_name)
    _write_table(report.in_part_table, ("video", "left out"), report.in_part)
    return report


def _table(folder: Path, what: str, index_name: str) -> Path:
    """``dataset_index.shard-0-of-2.pkl`` goes with ``skipped.shard-0-of-2.csv``."""
    return folder / f"{what}{Path(index_name).stem.removeprefix(Path(INDEX_NAME).stem)}.csv"


def _write_table(path: Path, head: tuple, rows: list[tuple]) -> None:
    with (
        written_atomically(path) as aside,
        # With a byte order mark, spreadsheets read Chinese right.
        # Old archives hold names that are not UTF-8.
        open(aside, "w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file,
    ):
        csv.writer(file).writerows([head, *sorted(rows)])


@cache
def _detector(settings: DataConfig) -> Detector:
    return make_detector(settings)


def process_clip(
    settings: DataConfig, job: tuple[Clip, list[dict]]
) -> str | tuple[list[dict], bool]:
    """One clip: its records and whether they were there already, or the reason why it cannot be
    used.

    Raises:
        OutputError: the samples cannot be written; no other clip's could.
    """
    clip, known = job
    folder = Path(settings.processed_dir)
    workplace = _workplace(folder, clip)
    shutil.rmtree(workplace, ignore_errors=True)  # a killed run may have left it
    try:
        for source in filter(None, (clip.video, clip.audio)):
            check_file(source)
        digests = {
            "video_sha256": file_sha256(clip.video),
            "audio_sha256": file_sha256(clip.audio) if clip.audio else "",
        }
        if known and all(
            digests.items() <= record.items() and (folder / record["file"]).is_file()
            for record in known
        ):
            return known, True
        stem = _file_stem(clip.name, *digests.values(), *sample_settings(settings).values())
        ensure_folder(workplace)
        try:
            features = extract_clip(
                clip.video, clip.audio, settings, _detector(settings), workplace,
                settings.min_frames,
            )  # fmt: skip
            return _samples_of(clip, features, folder, stem, digests), False
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
    except OutputError:
        raise
    except NoAudioError as error:
        if clip.audio:
            return str(error)
        return tr(
            "no matching audio file: {path} has no sound of its own; put {stem}.wav into {folder}",
            path=clip.video, stem=clip.video.stem, folder=settings.audio_dir,
        )  # fmt: skip
    except LipSyncError as error:
        return str(error)
    # One bad clip must never end the run, whatever a decoder makes of it.
    except Exception as error:
        return tr(
            "unreadable: {path}: {why}", path=clip.video, why=f"{type(error).__name__}: {error}"
        )


def _samples_of(
    clip: Clip, features: ClipFeatures, folder: Path, stem: str, digests: dict
) -> list[dict] | str:
    """Give the samples their names; their records."""
    spoken = [track for track in features.tracks if track.spoken >= MIN_SPEECH_FRAMES]
    if not spoken:
        raise DatasetError(
            tr("nobody speaks while the face is seen in {path}: use clips of people talking",
               path=clip.video)
        )  # fmt: skip
    records = []
    for number, track in enumerate(spoken):
        file = f"{SAMPLES_FOLDER}/{stem}-{number}.npy"
        try:
            os.replace(track.path, folder / file)
        except OSError as error:
            raise OutputError(
                tr("cannot write {path}: {why}", path=folder / file, why=error.strerror)
            ) from None
        records.append(
            {
                "id": f"{clip.name}#{number}",
                "file": file,
                "clip": clip.name,
                "speaker": clip.speaker,
                "first_frame": track.first_frame,
                "n_frames": track.n_frames,
                "fps": features.info.fps,
                "face_share": features.face_share,
                "speech_share": track.spoken / track.n_frames,
                "faces": features.faces,
                "notes": features.notes,
                "offset_ms": 0.0,
                **digests,
            }
        )
    return records


def _workplace(folder: Path, clip: Clip) -> Path:
    """Where a clip is worked on; named for it alone, so that it is found again."""
    return folder / SAMPLES_FOLDER / f".{_file_stem(clip.name)}"


def _file_stem(name: str, *made_from) -> str:
    """A file name for any clip name, distinct for distinct names, contents and settings."""
    plain = re.sub(r"[^\w-]+", "_", Path(name).stem)[:40]
    return f"{plain}-{sha256(repr((name, *made_from)).encode()).hexdigest()[:12]}"
