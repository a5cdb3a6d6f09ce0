"""The speed of preprocessing: frames per second of each stage and of all of it together.

Each stage is measured alone on one core, after a warm-up, as the median of several runs; then the
whole of it (``dataset.build.process_clip``: hash, decode, detect cuts and faces, track, crop, MFCC,
speech, write) in one process and in one per core, all warm before the clock starts. The clip is a
synthetic talking head, 640×480 H.264, or is one of yours.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
os.environ["OMP_NUM_THREADS"] = "1"  # one process per core; read when NumPy is imported

import cv2
import numpy as np

from src.audio.features import stream_features
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
from src.faces.detection import Detector, FaceDetection, make_detector
from src.faces.shot_boundary import CutDetector
from src.faces.tracker import FaceTracker, scaled_frame, zoomed_crop
from src.i18n.messages import tr
from src.media.container import probe
from src.media.frame import VideoFrame
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip

N_HELD = 60  # frames held in memory for the stages after decoding


def make_test_clip(path: Path, seconds: float) -> None:
    """Write a synthetic talking head in the middle of 640×480."""
    from tools.synthetic_talker import SAMPLE_RATE, clip_parts

    _, faces, samples, _ = clip_parts(1, seconds)
    frames = (
        cv2.copyMakeBorder(cv2.resize(face, (480, 480)), 0, 0, 80, 80, cv2.BORDER_REPLICATE)
        for face in faces
    )
    write_clip(path, frames, FPS, samples, SAMPLE_RATE)


def measure_rate(work: Callable[[], int], runs: int) -> float:
    """Items per second of ``work``, which returns how many it did: the median after a warm-up."""
    work()
    rates = []
    for _ in range(runs):
        start = time.perf_counter()
        n_items = work()
        rates.append(n_items / (time.perf_counter() - start))
    return statistics.median(rates)


class StageSpeed(NamedTuple):
    """The speed of a stage on one core.

    Attributes:
        stage: its name.
        rate: items per second.
        per_frame: items per frame of the clip.
    """

    stage: str
    rate: float
    per_frame: float

    @property
    def ms_per_frame(self) -> float:
        return 1000 * self.per_frame / self.rate


class CountingDetector:
    """A detector, and how many images it was given.

    Attributes:
        n_full, n_zoomed: full frames, and zoomed crops.
    """

    def __init__(self, detector: Detector):
        self._detector = detector
        self.n_full = self.n_zoomed = 0

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        if zoomed:
            self.n_zoomed += len(images)
        else:
            self.n_full += len(images)
        return self._detector.detect(images, zoomed)


class NoCrops:
    """A sink that keeps nothing."""

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        pass

    def close(self) -> None:
        pass

    def discard(self) -> None:
        pass


def detections_per_frame(
    video: Path, settings: DataConfig, detector: Detector
) -> tuple[float, float]:
    """How many full frames and zoomed crops are searched for faces, for each frame of a video: the
    tracker decides by what it sees."""
    counting = CountingDetector(detector)
    tracker = FaceTracker(counting, settings, NoCrops)
    for _ in tracker.track(read_frames(video, 1)):
        pass
    n_frames = tracker.stats.n_frames
    return counting.n_full / n_frames, counting.n_zoomed / n_frames


def measure_stages(video: Path, settings: DataConfig, runs: int) -> list[StageSpeed]:
    """The speed of each stage.

    Raises:
        DatasetError: no face is detected.
    """
    cv2.setNumThreads(1)
    detector = make_detector(settings)

    def decode_frames() -> list[VideoFrame]:
        """Decoded anew each time: a frame keeps what it was converted to."""
        return list(islice(read_frames(video, 1), N_HELD))

    middle = decode_frames()[N_HELD // 2]
    small, scale = scaled_frame(middle, settings.detection_size)
    (faces,) = detector.detect(small[None])
    if not faces:
        raise DatasetError(tr("no face detected in the first seconds of {path}", path=video))
    largest = max(faces, key=lambda face: face.area)
    box, points = largest.box * np.tile(scale, 2), largest.points * scale
    crop, _, _ = zoomed_crop(middle, box)
    samples = read_audio(video)

    def repeat(work: Callable[[], object], n: int) -> Callable[[], int]:
        """Does ``work`` n times; returns n."""

        def work_repeated() -> int:
            for _ in range(n):
                work()
            return n

        return work_repeated

    def for_each_frame(work: Callable[[VideoFrame], object]) -> Callable[[], int]:
        """Does ``work`` for frames decoded before the clock starts; returns how many there are."""
        fresh = [decode_frames() for _ in range(runs + 1)]

        def work_on_all() -> int:
            frames = fresh.pop()
            for frame in frames:
                work(frame)
            return len(frames)

        return work_on_all

    def crop_face(frame: VideoFrame) -> np.ndarray:
        return frame.to_full_range(align(frame.luma, points, settings.input_size))

    is_cut = CutDetector().is_cut
    full_share, zoomed_share = detections_per_frame(video, settings, detector)
    stages = [
        ("decode video", lambda: sum(1 for _ in read_frames(video, 1)), 1),
        ("scale full frame",
         for_each_frame(lambda frame: frame.small_bgr(settings.detection_size)), full_share),
        ("detect cuts", for_each_frame(is_cut), 1),
        ("detect faces, full frame", repeat(lambda: detector.detect(small[None]), 20), full_share),
        ("detect faces, zoomed crop",
         repeat(lambda: detector.detect(crop[None], zoomed=True), 40), zoomed_share),
        ("zoomed crop", for_each_frame(lambda frame: zoomed_crop(frame, box)), zoomed_share),
        ("align crop", for_each_frame(crop_face), 1),
        ("decode audio", lambda: len(read_audio(video)) // SAMPLES_PER_FRAME, 1),
        ("MFCC and speech",
         lambda: sum(len(speech) for _, speech in stream_features([samples])), 1),
    ]  # fmt: skip
    return [
        StageSpeed(stage, measure_rate(work, runs), per_frame) for stage, work, per_frame in stages
    ]


def _process_repeatedly(
    barrier, spans, video: Path, settings: DataConfig, runs: int, folder: str
) -> None:
    """The work of one process: puts the times at which it started and ended into ``spans``."""
    cv2.setNumThreads(1)
    settings = settings.model_copy(update={"processed_dir": folder})
    ensure_folder(Path(folder) / SAMPLES_FOLDER)
    job = Clip(video.name, video, None), []
    process_clip(settings, job)  # warm-up
    barrier.wait()
    start = time.time()
    for _ in range(runs):
        result = process_clip(settings, job)
        if isinstance(result, str):
            raise DatasetError(result)
    spans.put((start, time.time()))


def measure_preprocessing(video: Path, settings: DataConfig, runs: int, n_processes: int) -> float:
    """The speed of preprocessing in so many processes at once, as a multiple of real time."""
    context = get_context("spawn")
    barrier, spans = context.Barrier(n_processes), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(
                target=_process_repeatedly,
                args=(barrier, spans, video, settings, runs, f"{folder}/{number}"),
            )
            for number in range(n_processes)
        ]
        for process in processes:
            process.start()
        starts, ends = zip(*(spans.get() for _ in processes), strict=True)
        for process in processes:
            process.join()
    duration_s = sum(1 for _ in read_frames(video)) / FPS
    return n_processes * runs * duration_s / (max(ends) - min(starts))


def main() -> int:
    parser = make_parser(
        tr("Measure the speed of preprocessing."),
        "python benchmarks/preprocessing.py --video v.mp4 --runs 5",
    )
    parser.add_argument("--video", help=tr("a clip of your own (default: a synthetic one)"))
    parser.add_argument(
        "--seconds", type=float, default=30, help=tr("duration of the synthetic clip")
    )
    parser.add_argument("--runs", type=int, default=5, help=tr("runs; their median counts"))
    args = parser.parse_args()
    settings = settings_of(args).data
    with tempfile.TemporaryDirectory() as folder:
        video = Path(args.video or Path(folder) / "talking_head.mp4")
        if not args.video:
            make_test_clip(video, args.seconds)
        info = probe(video)
        print(f"{info.width}×{info.height}, {info.fps:.2f} fps, {info.duration_s:.1f} s")
        print_stages(measure_stages(video, settings, args.runs))
        for n_processes in sorted({1, cores()}):
            speeds = [
                measure_preprocessing(video, settings, 2, n_processes) for _ in range(args.runs)
            ]
            speed = statistics.median(speeds)
            print(tr("all stages, {n} processes: {frames:.0f} frames/s, {speed:.1f} × real time "
                     "({least:.1f} to {most:.1f})",
                     n=n_processes, frames=speed * FPS, speed=speed, least=min(speeds),
                     most=max(speeds)))  # fmt: skip
    return 0


def print_stages(stages: list[StageSpeed]) -> None:
    """Print the speed of each stage, and of all of them one after the other."""
    print(f"{'stage, one core':26s} {'per second':>10s} {'per frame':>9s} {'ms per frame':>12s}")
    for stage in stages:
        print(f"{stage.stage:26s} {stage.rate:10.0f} {stage.per_frame:9.3f} "
              f"{stage.ms_per_frame:12.3f}")  # fmt: skip
    total_ms = sum(stage.ms_per_frame for stage in stages)
    print(f"{'sum':26s} {1000 / total_ms:10.0f} {'':9s} {total_ms:12.3f}")


if __name__ == "__main__":
    run(main)
