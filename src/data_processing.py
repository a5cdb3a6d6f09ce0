"""CLI: clips in data/videos and data/audios -> samples and their index in data/processed."""

import csv
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.cli import make_parser, run, settings_of
from src.clip_features import extract_clip
from src.config import Config, DataConfig
from src.errors import DatasetError, LipSyncError, NoAudioError
from src.faces import make_detector
from src.files import made_folder, written_aside
from src.media import AUDIO_SUFFIXES, VIDEO_SUFFIXES, probe
from src.messages import tr
from src.sample_index import (
    INDEX_NAME,
    file_sha256,
    read_index,
    sample_settings,
    write_index,
    write_sample,
)

MIN_SPEECH_FRAMES = 5  # a sample with less speech teaches nothing
MOST_WORKERS = 61  # what Windows allows
SAVE_EVERY_S = 10  # the index is brought up to date this often while clips are processed


@dataclass(frozen=True)
class Clip:
    """A video and its sound.

    Attributes:
        name: path of the video relative to the video folder, with ``/``.
        video: the video file.
        audio: the sound file, or None: the video's own sound.
    """

    name: str
    video: Path
    audio: Path | None

    @property
    def speaker(self) -> str:
        """The folder under the video folder; empty where the clip lies in none."""
        return self.name.split("/")[0] if "/" in self.name else ""


@dataclass
class Report:
    """What a run did: records of all samples, (clip, reason) of those left out, clips reused."""

    samples: list[dict]
    skipped: list[tuple[str, str]]
    reused: int = 0
    own_sound: int = 0


def find_clips(settings: DataConfig) -> list[Clip]:
    """All videos under ``data.video_dir``, each with the sound file of its name, if any.

    ``videos/anna/one.mp4`` goes with ``audios/anna/one.wav`` or ``audios/one.wav``.

    Raises:
        DatasetError: there is no video.
    """
    videos, audios = Path(settings.video_dir), Path(settings.audio_dir)
    paths = sorted(
        path
        for path in videos.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    )
    if not paths:
        raise DatasetError(
            tr("no video in {folder}: put clips of talking people there (mp4, avi, mov, mkv, "
               "webm, …), and their sound, if it is apart, into {audios} under the same name",
               folder=videos, audios=audios)
        )  # fmt: skip
    return [
        Clip(path.relative_to(videos).as_posix(), path, _sound_of(path.relative_to(videos), audios))
        for path in paths
    ]


def _sound_of(name: Path, audios: Path) -> Path | None:
    for base in (audios / name.parent, audios):
        for suffix in AUDIO_SUFFIXES:
            for written in (suffix, suffix.upper()):
                candidate = base / (name.stem + written)
                if candidate.is_file():
                    return candidate
    return None


def process(config: Config, clips: list[Clip]) -> Report:
    """Turn clips into samples; the index on disk grows as clips are finished.

    A clip whose content and settings are those of the index is taken from there. A clip that
    cannot be used is reported, never raised.

    Raises:
        DetectorError: the detector cannot be started.
        OutputError: the results cannot be written.
    """
    from tqdm import tqdm

    make_detector(config.data)  # one that cannot be started ends the run before it begins
    folder = Path(config.data.processed_dir)
    made_folder(folder / "samples")
    settings = sample_settings(config.data)
    known = _known_samples(folder / INDEX_NAME, settings)
    report = Report([], [])
    done = dict(known)  # what an interrupted run does not reach stays in the index
    saved = time.monotonic()

    def save():
        report.samples = [record for clip in clips for record in done.get(clip.name, [])]
        write_index(folder / INDEX_NAME, settings, report.samples)

    try:
        with (
            tqdm(total=len(clips), desc=tr("processing videos"), unit="it") as bar,
            closing(_results(config.data, clips, known)) as results,
        ):
            for clip, result in results:
                if isinstance(result, str):
                    report.skipped.append((clip.name, result))
                    done[clip.name] = []
                else:
                    records, reused = result
                    done[clip.name] = records
                    report.reused += reused
                    report.own_sound += clip.audio is None
                bar.update()
                if time.monotonic() - saved > SAVE_EVERY_S:
                    save()
                    saved = time.monotonic()
    finally:
        save()
    with (
        written_aside(folder / "skipped.csv") as aside,
        # With a byte order mark, spreadsheets read Chinese right.
        open(aside, "w", newline="", encoding="utf-8-sig") as file,
    ):
        csv.writer(file).writerows([("video", "reason"), *sorted(report.skipped)])
    return report


def _known_samples(index: Path, settings: dict) -> dict[str, list[dict]]:
    """Samples of an earlier run by clip, if it was made with the same settings."""
    if not index.exists():
        return {}
    try:
        old = read_index(index)
    except DatasetError as error:
        print(tr("the old index is made anew: {why}", why=error))
        return {}
    if old.get("settings") != settings:
        print(tr("the settings have changed since the last run: all clips are processed anew"))
        return {}
    known: dict[str, list[dict]] = {}
    for record in old["samples"]:
        known.setdefault(record["clip"], []).append(record)
    return known


def _results(
    settings: DataConfig, clips: list[Clip], known: dict, work: Callable | None = None
) -> Iterator[tuple[Clip, str | tuple[list[dict], bool]]]:
    """(clip, reason or (records, reused)) in the order they get done, over several processes.

    A clip that takes its process down is tried once more alone, then given up.
    """
    work = work or _process_clip
    workers = min(settings.num_workers or _cores(), len(clips), MOST_WORKERS)
    waiting = [(clip, known.get(clip.name, [])) for clip in clips]
    waiting.reverse()
    suspects = []
    while waiting:
        with _pool(settings, workers) as pool:
            running = {}
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * workers:
                        running[_submit(pool, work, waiting[-1])] = waiting[-1]
                        waiting.pop()
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        result = future.result()
                        yield running.pop(future)[0], result
            except BrokenProcessPool:
                # One of the running clips took its process down, and the pool with it.
                suspects += running.values()
    while suspects:
        with _pool(settings, 1) as pool:
            try:
                while suspects:
                    result = _submit(pool, work, suspects[-1]).result()
                    yield suspects.pop()[0], result
            except BrokenProcessPool:
                clip = suspects.pop()[0]
                yield clip, tr("unreadable: the decoder crashed on {path}", path=clip.video)


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _pool(settings: DataConfig, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that do clips; left early (Ctrl+C), they drop the clips they are at."""
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(settings,)
    )
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, work: Callable, job: tuple) -> Future:
    """Hand a clip to the pool, which may start a process for it: a blocked Ctrl+C is inherited,
    so it never meets one that is still starting."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool.submit(work, *job)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, *job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: dict = {}


def _start_worker(settings: DataConfig) -> None:
    """Each process keeps to one thread: there is one process a core."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the main process's to handle
    signal.signal(signal.SIGTERM, _stop_worker)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which is imported when it is needed
    _worker["settings"] = settings


class _Stopped(BaseException):
    """The worker was told to end."""


def _stop_worker(*_) -> None:
    if "busy" not in _worker:
        os._exit(1)
    raise _Stopped


def _process_clip(clip: Clip, known: list[dict]) -> str | tuple[list[dict], bool]:
    """One clip in a worker: its records and whether they were there already, or the reason why
    it cannot be used."""
    _worker["busy"] = True
    try:
        return _result_of(clip, known)
    except _Stopped:  # the ``finally`` clauses have removed what was half-written
        os._exit(1)
    finally:
        _worker.pop("busy", None)


def _result_of(clip: Clip, known: list[dict]) -> str | tuple[list[dict], bool]:
    settings: DataConfig = _worker["settings"]
    folder = Path(settings.processed_dir)
    try:
        digests = {
            "video_sha256": file_sha256(clip.video),
            "audio_sha256": file_sha256(clip.audio) if clip.audio else "",
        }
        if known and all(
            digests.items() <= record.items() and (folder / record["file"]).is_file()
            for record in known
        ):
            return known, True
        if "detector" not in _worker:
            _worker["detector"] = make_detector(settings)
        features = extract_clip(
            clip.video, clip.audio, settings, _worker["detector"], settings.min_frames
        )
        spoken = [track for track in features.tracks if track.speech.sum() >= MIN_SPEECH_FRAMES]
        if not spoken:
            return tr(
                "nobody speaks while the face is seen in {path}: use clips of people talking",
                path=clip.video,
            )
        fps = probe(clip.video).fps
        records = []
        for number, track in enumerate(spoken):
            file = f"samples/{_file_stem(clip.name)}-{number}.npy"
            write_sample(folder / file, track)
            records.append(
                {
                    "id": f"{clip.name}#{number}",
                    "file": file,
                    "clip": clip.name,
                    "speaker": clip.speaker,
                    "first_frame": track.first_frame,
                    "n_frames": len(track.crops),
                    "fps": fps,
                    "face_share": features.face_share,
                    "speech_share": float(track.speech.mean()),
                    "offset_ms": 0.0,
                    **digests,
                }
            )
        return records, False
    except NoAudioError:
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


def _file_stem(name: str) -> str:
    """A file name for any clip name, distinct for distinct names."""
    plain = re.sub(r"[^\w-]+", "_", Path(name).stem)[:40]
    return f"{plain}-{sha256(name.encode()).hexdigest()[:10]}"


def main() -> int:
    parser = make_parser(
        tr("Turn clips of talking people into training samples."),
        "python src/data_processing.py --set data.num_workers=4",
    )
    args = parser.parse_args()
    config = settings_of(args)
    clips = find_clips(config.data)
    print(tr("found {n} video files", n=len(clips)))
    try:
        report = process(config, clips)
    except KeyboardInterrupt:
        kept = tr("stopped; what is finished is kept: run the same command again to go on")
        print("\n" + kept, file=sys.stderr)
        return 130
    folder = Path(config.data.processed_dir)
    if report.own_sound:
        print(tr("{n} clips have no audio file of their own: the video's sound was used",
                 n=report.own_sound))  # fmt: skip
    if report.reused:
        print(tr("{n} clips were already done", n=report.reused))
    if report.skipped:
        print(tr("{n} clips skipped (listed in {path}):",
                 n=len(report.skipped), path=folder / "skipped.csv"))  # fmt: skip
        for name, reason in report.skipped:
            print(f"  {name}: {reason}")
    if not report.samples:
        raise DatasetError(
            tr("no usable clip in {folder}: see the reasons above", folder=config.data.video_dir)
        )
    print(tr("Done! {n} samples processed", n=len(report.samples)))
    print(tr("data saved in: {path}", path=folder))
    print(tr("index file: {path}", path=folder / INDEX_NAME))
    return 0


if __name__ == "__main__":
    run(main)
