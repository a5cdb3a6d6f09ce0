"""The time to score a clip, stage by stage, from a warm start.

The clip is a synthetic talking head, 640×480 H.264, or one of yours. Functions of the packages are
wrapped with clocks while ``LipSyncInference.compute_sync_score`` computes a score; what a wrapped
function calls counts for the inner stage only. Stages overlap: frames are decoded and compared for
cuts in a thread of its own, so is the audio processed, and the encoders embed chunks beside each
other. A stage that waits for another one takes wall time, but no CPU time.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from inspect import isgeneratorfunction
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.preprocessing import make_test_clip
from src.audio import features
from src.audio.vad import SpeechDetector
from src.core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from src.core.workers import cores
from src.faces import tracker
from src.faces.shot_boundary import CutDetector
from src.faces.track import OpenTrack
from src.i18n.messages import tr
from src.media.container import Reading, probe
from src.models.backend import embedding_of
from src.pipeline import measure_offset
from src.pipeline.engine import LipSyncInference
from src.preprocessing import audio, extract
from src.scoring import clip_evidence, clip_scoring

ITERATORS = {"embed_audio_chunks"}  # functions that return one
WARM_UP_S = 3  # duration of a clip that is scored before the clocks start


@dataclass
class Clocks:
    """Seconds by stage: ``wall`` time, and ``cpu`` time of the thread that runs the stage."""

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _thread: threading.local = field(default_factory=threading.local)

    def timed(self, stage: str, function: Callable) -> Callable:
        """The same function; its time counts for the stage, without that of stages within."""

        def timed_function(*args, **kwargs):
            # Time of the stages within the caller, and of those within this function.
            outer = getattr(self._thread, "inner", (0.0, 0.0))
            self._thread.inner = 0.0, 0.0
            start = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                wall, cpu = time.perf_counter() - start[0], time.thread_time() - start[1]
                inner_wall, inner_cpu = self._thread.inner
                self.wall[stage] += wall - inner_wall
                self.cpu[stage] += cpu - inner_cpu
                self._thread.inner = outer[0] + wall, outer[1] + cpu

        return timed_function

    def timed_items(self, stage: str, function: Callable) -> Callable:
        """As ``timed``, of a function that yields items: the time to get each of them."""

        def timed_function(*args, **kwargs):
            next_item = self.timed(stage, function(*args, **kwargs).__next__)
            while True:
                try:
                    item = next_item()
                except StopIteration:
                    return
                yield item

        return timed_function

    def timed_reading(self, stage: str, function: Callable) -> Callable:
        """As ``timed_items``, of a function that returns a ``Reading``."""

        def timed_function(*args, **kwargs) -> Reading:
            reading = function(*args, **kwargs)
            timed = Reading(lambda _: self.timed_items(stage, lambda: reading)())
            timed.report = reading.report
            return timed

        return timed_function


def clocked(clocks: Clocks, inference: LipSyncInference) -> ExitStack:
    """A context in which the functions of all stages have clocks."""
    encoders = embedding_of(inference.trained.model)
    functions = [
        ("decode video", extract, "read_frames"),
        ("detect cuts", CutDetector, "is_cut"),
        ("detect faces", inference.detector, "detect"),
        ("track faces", tracker.FaceTracker, "track"),
        ("zoomed crops", tracker, "zoomed_crop"),
        ("zoomed crops", tracker, "scaled_frame"),
        ("crop faces", OpenTrack, "crop_frames"),
        ("crop faces", tracker, "compute_appearance"),
        ("crop faces", extract, "write_sample"),
        ("decode audio", audio, "audio_blocks"),
        ("MFCC", features, "compute_mfcc"),
        ("speech", SpeechDetector, "detect"),
        ("embed video", encoders, "measure_brightness"),
        ("embed video", encoders, "embed_video_chunk"),
        ("embed audio", encoders, "read_normalised_bands"),
        ("embed audio", encoders, "embed_audio_chunks"),
        ("compare", clip_evidence, "compare"),
        ("score", clip_scoring, "choose_faces"),
        ("score", clip_scoring, "build_result"),
        ("score", measure_offset, "describe_tracks"),
    ]
    stack = ExitStack()
    for stage, owner, name in functions:
        function = getattr(owner, name)
        if name in ("read_frames", "audio_blocks"):
            wrap = clocks.timed_reading
        else:
            is_iterator = isgeneratorfunction(function) or name in ITERATORS
            wrap = clocks.timed_items if is_iterator else clocks.timed
        stack.enter_context(patch.object(owner, name, wrap(stage, function)))
    return stack


STAGES = (
    "decode video", "detect cuts", "detect faces", "zoomed crops", "track faces", "crop faces",
    "decode audio", "MFCC", "speech", "embed video", "embed audio", "compare", "score",
)  # fmt: skip


@dataclass
class Timing:
    """Of one score: wall and CPU time (of all threads) in seconds, and the time by stage."""

    wall: float
    cpu: float
    clocks: Clocks


class StageTime(NamedTuple):
    """Median seconds of a stage, ``cpu`` of the thread that runs it."""

    stage: str
    wall: float
    cpu: float


def time_score(inference: LipSyncInference, video: Path) -> Timing:
    clocks = Clocks()
    with clocked(clocks, inference):
        start = time.perf_counter(), time.process_time()
        inference.compute_sync_score(video)
        return Timing(time.perf_counter() - start[0], time.process_time() - start[1], clocks)


def largest_shares(stages: list[StageTime], total_cpu: float) -> str:
    """The three stages with most CPU time, as shares of ``total_cpu``."""
    largest = sorted(stages, key=lambda time: time.cpu, reverse=True)[:3]
    return ", ".join(f"{time.stage} {time.cpu / total_cpu:.0%}" for time in largest)


def median_by_stage(timings: list[Timing]) -> list[StageTime]:
    return [
        StageTime(
            stage,
            statistics.median(timing.clocks.wall[stage] for timing in timings),
            statistics.median(timing.clocks.cpu[stage] for timing in timings),
        )
        for stage in STAGES
    ]


def main() -> int:
    parser = make_parser(
        tr("Measure how long it takes to score a clip."),
        "python benchmarks/scoring.py --video v.mp4 --runs 5",
    )
    add_checkpoint(parser)
    parser.add_argument("--video", help=tr("a clip of your own (default: a synthetic one)"))
    parser.add_argument(
        "--seconds", type=float, default=60, help=tr("duration of the synthetic clip")
    )
    parser.add_argument("--runs", type=int, default=3, help=tr("runs; their median counts"))
    args = parser.parse_args()
    config = settings_of(args, SCORING_SETTINGS)
    inference = LipSyncInference(
        args.checkpoint, config=config if args.config else None, overrides=args.overrides
    )
    with tempfile.TemporaryDirectory() as folder:
        warm_up = Path(folder) / "warm_up.mp4"
        video = Path(args.video or Path(folder) / "talking_head.mp4")
        make_test_clip(warm_up, WARM_UP_S)
        if not args.video:
            make_test_clip(video, args.seconds)
        inference.compute_sync_score(warm_up)
        info = probe(video)
        print(f"{info.width}×{info.height}, {info.fps:.2f} fps, {info.duration_s:.1f} s; "
              f"{cores()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
        timings = [time_score(inference, video) for _ in range(args.runs)]
    print_table(timings, info.duration_s)
    return 0


def print_table(timings: list[Timing], duration_s: float) -> None:
    """Print the medians by stage and in all."""
    stages = median_by_stage(timings)
    wall = statistics.median(timing.wall for timing in timings)
    cpu = statistics.median(timing.cpu for timing in timings)
    print(f"{'stage':22s} {'s':>7s} {'CPU s':>12s}")
    for stage in stages:
        print(f"{stage.stage:22s} {stage.wall:7.2f} {stage.cpu:12.2f}")
    print(f"{'other threads':22s} {'':7s} {cpu - sum(stage.cpu for stage in stages):12.2f}")
    print(tr("largest shares of CPU time: {shares}", shares=largest_shares(stages, cpu)))
    print(tr("total: {wall:.1f} s, {speed:.1f} × real time; CPU time {cpu:.1f} s",
             wall=wall, cpu=cpu, speed=duration_s / wall))  # fmt: skip


if __name__ == "__main__":
    run(main)
