"""The runs that ``benchmarks/scaling.py`` compares: a rate of each, by so many workers."""

import os
import shutil
import socket
import statistics
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # one thread a core; read when NumPy is imported

import numpy as np
import torch

from benchmarks.own_cores import Watched, available_cores, keep_on, kept_on, rate, waiting_share
from src.core.cluster import engine_opened
from src.core.config import Config, with_overrides
from src.core.errors import DatasetError
from src.core.files import ensure_folder
from src.core.workers import MapJobs, map_in_processes
from src.dataset.build import process_clips
from src.dataset.clips import find_clips
from src.dataset.index import INDEX_NAME, SAMPLES_FOLDER, read_index, write_index
from src.dataset.samples import load_samples
from src.dataset.tar_shards import publish_samples, shards_place
from src.i18n.messages import tr
from src.pipeline.batch import run_batch
from src.pipeline.engine import EngineSpec
from src.pipeline.pairs import with_outputs
from src.training.batches import SegmentSampler
from src.training.loader import PREFETCHED
from src.training.loop import train_epoch
from src.training.state import new_model, new_state
from src.training.team import team_joined

FORMATS = ("files", "shards")
POOL, DASK = "pool", "dask"
SEGMENT_FRAMES, BATCH = 32, 16  # of the loader
LOADER_WORKERS = (0, 1, 2)
WARM_UP_STEPS = 1  # of a training: the first allocates


def make_copies(source: Path, folder: Path, n_clips: int) -> None:
    """Copies that differ for a hash but not for a player: each has a box more, which it ignores."""
    ensure_folder(folder)
    for number in range(n_clips):
        extra = str(number).encode()
        box = struct.pack(">I4s", 8 + len(extra), b"free") + extra
        (folder / f"{number:03}.mp4").write_bytes(source.read_bytes() + box)


def settings_for(config: Config, folder: Path, kind: str, clips: Path, n_workers: int) -> Config:
    return with_overrides(
        config,
        [f"data.video_dir={clips}", f"data.audio_dir={clips}", f"data.processed_dir={folder}",
         f"data.format={kind}", f"data.num_workers={n_workers}", "training.device=cpu"],
        "--set",
    )  # fmt: skip


def process(config: Config, map_jobs: MapJobs) -> float:
    """Process all clips; how long it took to pack what they give into shards, in seconds.

    Raises:
        DatasetError: one cannot be used.
    """
    report = process_clips(config, find_clips(config.data), map_jobs=map_jobs)
    if report.skipped:
        raise DatasetError(": ".join(report.skipped[0]))
    begin = time.monotonic()
    publish_samples(config.data)
    return time.monotonic() - begin


def measure_jobs(
    parts: list[str], config: Config, source: Path, checkpoint: Path, n_clips: int, n_workers: int,
    folder: Path,
) -> Iterator[tuple[str, float, float]]:  # fmt: skip
    """One round of preprocessing and scoring, by pool and Dask: (what, clips a second, how long a
    worker waits between two clips as a share of a clip).

    Args:
        parts: of ``scaling.PARTS``.
        n_clips: for each worker.
    """
    chosen = available_cores(n_workers)[:n_workers]
    clips, output = folder / "clips", folder / "output"
    make_copies(source, clips, n_clips * n_workers)
    with kept_on(chosen):
        for engine in (POOL, DASK):
            with engine_opened(engine, None, n_workers, output) as opened:
                for kind in FORMATS if "preprocessing" in parts else ():
                    watched = Watched(opened or map_in_processes, chosen)
                    settings = settings_for(config, output / kind, kind, clips, n_workers)
                    packing_s = process(settings, watched) / len(watched.spans)
                    value = 1 / (1 / rate(watched.spans, n_workers) + packing_s)
                    yield f"preprocessing, {engine}, {kind}", value, waiting_share(watched.spans)
                if "scoring" in parts:
                    watched = Watched(opened or map_in_processes, chosen)
                    pairs = with_outputs([(path, None) for path in sorted(clips.iterdir())], None)
                    run_batch(
                        EngineSpec(checkpoint, "cpu", None, ()), pairs, output / "table.csv",
                        workers=n_workers, map_jobs=watched,
                    )  # fmt: skip
                    value = rate(watched.spans, n_workers)
                    yield f"scoring, {engine}", value, waiting_share(watched.spans)
            shutil.rmtree(output)
    shutil.rmtree(clips)


# ---------------------------------------------------------------------------- training


def _train(
    rank: int, size: int, port: int, chosen: list[int], config: Config, n_steps: int, results
) -> None:
    """One of the processes of a training; puts its steps a second into ``results``."""
    if size > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    keep_on(chosen[rank : rank + 1])
    torch.set_num_threads(1)
    times = []
    with team_joined("cpu", config.training.batch_size) as team:
        samples = load_samples(Path(config.data.processed_dir) / INDEX_NAME, config.data)
        state = new_state(config, new_model(config, torch.device("cpu")), samples, samples[:1],
                          team=team)  # fmt: skip
        while len(times) < WARM_UP_STEPS + n_steps:
            train_epoch(
                state,
                after_step=lambda _: times.append(time.monotonic()),
                should_stop=lambda: len(times) == WARM_UP_STEPS + n_steps,
            )
            state.end_epoch(0.0)
    if not rank:
        results.put(n_steps / (times[-1] - times[WARM_UP_STEPS - 1]))


def training_rate(config: Config, n_workers: int, n_steps: int) -> float:
    """Steps a second of so many processes that share each step."""
    chosen = available_cores(n_workers)[:n_workers]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("spawn")
    results = context.SimpleQueue()
    processes = [
        context.Process(target=_train, args=(r, n_workers, port, chosen, config, n_steps, results))
        for r in range(n_workers)
    ]
    os.environ["TQDM_DISABLE"] = "1"  # read as tqdm is imported
    try:
        for process in processes:
            process.start()
    finally:
        del os.environ["TQDM_DISABLE"]
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise DatasetError(tr("a process of the training has failed: see its message above"))
    return results.get()


def measure_training(
    config: Config, processed: Path, n_workers: int, n_steps: int
) -> Iterator[tuple[str, float]]:
    """One round: (what, steps a second)."""
    for kind in FORMATS:
        settings = settings_for(config, processed, kind, processed, 0)
        yield f"training, {kind}", training_rate(settings, n_workers, n_steps)


def prepare(config: Config, processed: Path, clips: Path, n_workers: int) -> None:
    """Process clips for a training and the loader: into single files and shards."""
    by_kind = {kind: settings_for(config, processed, kind, clips, n_workers) for kind in FORMATS}
    process(by_kind["files"], map_in_processes)
    publish_samples(by_kind["shards"].data)


# ---------------------------------------------------------------------------- the loader


def copy_samples(source: Path, folder: Path, n_bytes: float) -> None:
    """Write a larger set: the samples of another, as often as they make so many bytes."""
    index, total, records = read_index(source / INDEX_NAME), 0, []
    ensure_folder(folder / SAMPLES_FOLDER)
    while total < n_bytes:
        record = index["samples"][len(records) % len(index["samples"])]
        file = f"{SAMPLES_FOLDER}/{len(records)}.npy"
        shutil.copyfile(source / record["file"], folder / file)
        total += (folder / file).stat().st_size
        records.append(record | {"id": str(len(records)), "file": file})
    write_index(folder / INDEX_NAME, index["settings"], records)


def forget(paths: Iterable[Path]) -> None:
    """Let the system drop what it keeps of these files in memory, where it can."""
    for path in paths if hasattr(os, "posix_fadvise") else ():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bare_rate(paths: list[Path], frame_bytes: int) -> float:
    """Frames a second where files are only read, one after the other."""
    forget(paths)
    begin, n_bytes = time.monotonic(), 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(1 << 20):
                n_bytes += len(block)
    return n_bytes / frame_bytes / (time.monotonic() - begin)


def loading(
    config: Config, paths: list[Path], n_workers: int, consumed: float, limit_s: float
) -> tuple[float, float]:
    """Frames a second that reach a consumer, and the share of its time that it waits for them.

    Args:
        paths: the files of the samples.
        consumed: frames a second that the consumer could take; inf: any number.
        limit_s: how long to measure.
    """
    samples = load_samples(Path(config.data.processed_dir) / INDEX_NAME, config.data)
    forget(paths)
    sampler = SegmentSampler(samples, SEGMENT_FRAMES, BATCH, loader_workers=n_workers)
    with closing(sampler.iter_random(0)) as batches:
        # What has been read ahead before the clock starts is not counted.
        for batch in islice(batches, 1 + PREFETCHED * n_workers):
            time.sleep(int(batch.valid.sum()) / consumed)
        begin = asked_at = time.monotonic()
        n_frames, waiting_s = 0, 0.0
        for batch in batches:
            now = time.monotonic()
            waiting_s += now - asked_at
            n_frames += int(batch.valid.sum())
            time.sleep(int(batch.valid.sum()) / consumed)
            asked_at = time.monotonic()
            if asked_at - begin > limit_s:
                break
    if not n_frames:
        raise DatasetError(tr("too few samples to measure: raise --loader-mb"))
    return n_frames / (asked_at - begin), waiting_s / (asked_at - begin)


def measure_loader(config: Config, source: Path, args, folder: Path) -> list[str]:
    """Lines of the table of the loader."""
    bare, rates, waits = defaultdict(list), defaultdict(list), defaultdict(list)
    copy_samples(source, folder, args.loader_mb * 1e6)
    by_kind = {kind: settings_for(config, folder, kind, folder, 0) for kind in FORMATS}
    publish_samples(by_kind["shards"].data)
    places = {
        "files": folder / SAMPLES_FOLDER,
        "shards": Path(shards_place(by_kind["shards"].data)),
    }
    record = np.load(next(places["files"].iterdir()), mmap_mode="r")
    chosen = available_cores(args.workers)[: args.workers]
    with kept_on(chosen):
        for _ in range(args.repeats):
            for kind in FORMATS:
                paths = sorted(places[kind].glob("*.npy" if kind == "files" else "*.tar"))
                bare[kind].append(bare_rate(paths, record.dtype.itemsize))
                for n_workers in LOADER_WORKERS:
                    for consumed in (float("inf"), *args.consumer):
                        frames, wait = loading(
                            by_kind[kind], paths, n_workers, consumed, args.loader_seconds
                        )
                        rates[kind, n_workers, consumed].append(frames)
                        waits[kind, n_workers, consumed].append(wait)
    median = statistics.median
    consumers = "".join(f"{f'at {consumed:,.0f}/s':>14s}" for consumed in args.consumer)
    lines = [f"{'loader':28s}{'frames/s':>10s}{'segments/s':>12s}{'of bare':>9s}{consumers}"]
    for kind in FORMATS:
        disk = median(bare[kind])
        segments = disk / SEGMENT_FRAMES
        lines.append(f"{f'{kind}, bare reading':28s}{disk:10,.0f}{segments:12,.0f}{1:9.0%}")
        for n_workers in LOADER_WORKERS:
            frames = median(rates[kind, n_workers, float("inf")])
            shares = (median(waits[kind, n_workers, consumed]) for consumed in args.consumer)
            lines.append(
                f"{f'{kind}, {n_workers} workers':28s}{frames:10,.0f}"
                f"{frames / SEGMENT_FRAMES:12,.0f}{frames / disk:9.0%}"
                + "".join(f"{f'waits {share:.0%}':>14s}" for share in shares)
            )
    return lines
