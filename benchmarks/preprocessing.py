"""How fast clips become samples: frames a second of each stage and of the whole step.

Each stage is measured alone on one core, after a warm-up, as the median of several runs; then the
whole step (``data_processing.process_clip``: hash, decode, find cuts, detect, follow, crop, MFCC,
speech, write) in one process and in one for each core, all warm before the clock is started.
The clip is made on the spot, 640×480 H.264 with a drawn talker, or is one of yours.
"""

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
os.environ["OMP_NUM_THREADS"] = "1"  # one process a core

import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context

import cv2
import numpy as np

from src.audio.features import feature_blocks
from src.core.cli import make_parser, run, settings_of
from src.core.config import DataConfig
from src.core.constants import FPS, SAMPLES_PER_FRAME
from src.core.errors import DatasetError
from src.core.files import ensure_folder
from src.core.workers import cores
from src.dataset.build import process_clip
from src.dataset.clips import Clip
from src.dataset.index import SAMPLES_FOLDER
from src.faces.alignment import align
from src.faces.detection import make_detector
from src.faces.shot_boundary import CutDetector
from src.faces.tracker import SEARCH_EVERY, close_up, reduced
from src.i18n.messages import tr
from src.media.container import probe
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip

HELD = 60  # pictures held in memory for the stages after decoding


def make_test_clip(path: Path, seconds: float) -> None:
    """A drawn talker in the middle of 640×480."""
    from tools.synthetic_talker import SAMPLE_RATE, clip_parts

    _, frames, samples, _ = clip_parts(1, seconds)
    pictures = (
        cv2.copyMakeBorder(cv2.resize(frame, (480, 480)), 0, 0, 80, 80, cv2.BORDER_REPLICATE)
        for frame in frames
    )
    write_clip(path, pictures, FPS, samples, SAMPLE_RATE)


def rate_of(work: Callable[[], int], runs: int) -> float:
    """Items a second of ``work``, which returns how many it did: the median after a warm-up."""
    work()
    rates = []
    for _ in range(runs):
        began = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - began))
    return statistics.median(rates)


def stages(video: Path, settings: DataConfig, runs: int) -> list[tuple[str, float, float]]:
    """(name, items a second, items for each frame of the clip) of each stage, one core."""
    cv2.setNumThreads(1)
    detector = make_detector(settings)

    def pictures():
        """Decoded anew each time: what a picture was converted to is kept with it."""
        return [p for p, _ in zip(read_frames(video, 1), range(HELD), strict=False)]

    middle = pictures()[HELD // 2]
    small, scale = reduced(middle, settings.detection_size)
    (faces,) = detector.detect(small[None])
    if not faces:
        raise DatasetError(tr("no face in the middle of the first seconds of {path}", path=video))
    face = max(faces, key=lambda found: found.area)
    box, points = face.box * np.tile(scale, 2), face.points * scale
    shown, _, _ = close_up(middle, box)
    sound = read_audio(video)
    look, search = 1 / settings.detect_every, 1 / SEARCH_EVERY

    def each(work: Callable) -> Callable[[], int]:
        """Over pictures that are decoded already, outside of the clock."""
        fresh = [pictures() for _ in range(runs + 1)]

        def over_all() -> int:
            return sum(1 for picture in fresh.pop() if work(picture) is not None)

        return over_all

    cuts = CutDetector()
    found = [
        ("decode", lambda: sum(1 for _ in read_frames(video, 1)), 1),
        ("scale the whole picture", each(lambda p: p.small_bgr(settings.detection_size)), search),
        ("find cuts (with scaling)", each(cuts.is_cut), 1),
        ("detect, whole picture", lambda: 20 * bool([detector.detect(small[None])
                                                     for _ in range(20)]), search),
        ("detect, close-up", lambda: 40 * bool([detector.detect(shown[None], close=True)
                                                for _ in range(40)]), look),
        ("cut out the close-up", each(lambda picture: close_up(picture, box)), look),
        ("align the crop", each(lambda p: p.levelled(align(p.luma, points,
                                                           settings.input_size))), 1),
        ("decode the sound", lambda: len(read_audio(video)) // SAMPLES_PER_FRAME, 1),
        ("MFCC and speech", lambda: sum(len(speech) for _, speech in feature_blocks([sound])), 1),
    ]  # fmt: skip
    return [(name, rate_of(work, runs), share) for name, work, share in found]


def _work_alone(barrier, video: Path, settings: DataConfig, runs: int, folder: str, times) -> None:
    cv2.setNumThreads(1)
    settings = settings.model_copy(update={"processed_dir": folder})
    ensure_folder(Path(folder) / SAMPLES_FOLDER)
    process_clip(settings, (Clip(video.name, video, None), []))  # warm
    barrier.wait()
    began = time.time()
    for _ in range(runs):
        result = process_clip(settings, (Clip(video.name, video, None), []))
        if isinstance(result, str):
            raise DatasetError(result)
    times.put((began, time.time()))


def whole_step(video: Path, settings: DataConfig, runs: int, processes: int) -> float:
    """Times real time of the whole step in so many processes at once."""
    context = get_context("spawn")
    barrier, times = context.Barrier(processes), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            context.Process(
                target=_work_alone,
                args=(barrier, video, settings, runs, f"{folder}/{number}", times),
            )
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        spans = [times.get() for _ in workers]
        for worker in workers:
            worker.join()
    wall = max(end for _, end in spans) - min(begin for begin, _ in spans)
    seconds = sum(1 for _ in read_frames(video)) / FPS
    return processes * runs * seconds / wall


def main() -> int:
    parser = make_parser(
        tr("Measure how fast clips become samples."),
        "python benchmarks/preprocessing.py --video v.mp4 --runs 5",
    )
    parser.add_argument("--video", help=tr("a clip of your own (default: one made on the spot)"))
    parser.add_argument("--seconds", type=float, default=30, help=tr("length of the clip made"))
    parser.add_argument("--runs", type=int, default=5, help=tr("runs; their median counts"))
    args = parser.parse_args()
    settings = settings_of(args).data
    with tempfile.TemporaryDirectory() as folder:
        video = Path(args.video or Path(folder) / "talker.mp4")
        if not args.video:
            make_test_clip(video, args.seconds)
        info = probe(video)
        print(f"{info.width}×{info.height}, {info.fps:.2f} fps, {info.duration_s:.1f} s")
        print(f"{'stage, one core':26s} {'a second':>10s} {'a frame':>9s} {'ms a frame':>11s}")
        total = 0.0
        for name, rate, share in stages(video, settings, args.runs):
            cost = 1000 * share / rate
            total += cost
            print(f"{name:26s} {rate:10.0f} {share:9.3f} {cost:11.3f}")
        print(f"{'sum':26s} {1000 / total:10.0f} {'':9s} {total:11.3f}")
        for processes in sorted({1, cores()}):
            speeds = [whole_step(video, settings, 2, processes) for _ in range(args.runs)]
            speed = statistics.median(speeds)
            print(tr("whole step, {n} processes: {frames:.0f} frames/s, {speed:.1f} × real time "
                     "({least:.1f} to {most:.1f})",
                     n=processes, frames=speed * FPS, speed=speed, least=min(speeds),
                     most=max(speeds)))  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)
