"""How long it takes to score a clip, stage by stage, from a warm start.

The clip is made on the spot, 640×480 H.264 with a drawn talker, or is one of yours. Functions of
the rooms are wrapped with clocks, and a whole score is computed as users do it
(``LipSyncInference.compute_sync_score``); what a wrapped function calls counts for the inner
stage only. The sound is listened to in a thread beside the pictures: its stages overlap others,
and so do the decoder's threads.
"""

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest.mock import patch

from benchmarks.preprocessing import make_test_clip
from src.audio import features as audio_features
from src.audio import vad
from src.core.cli import add_checkpoint, make_parser, run
from src.core.workers import cores
from src.faces import tracker as tracking
from src.faces.track import OpenTrack
from src.i18n.messages import tr
from src.media.container import probe
from src.models import embedding
from src.pipeline import engine
from src.pipeline.engine import LipSyncInference
from src.preprocessing import extract
from src.scoring import clip_evidence, speakers

WARM_S = 3  # a clip so long is scored before the clock is started


@dataclass
class Clocks:
    """Time by stage: ``wall`` as it passes, ``busy`` as the processor spends it on the thread
    that does the stage."""

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _inner: threading.local = field(default_factory=threading.local)

    def timed(self, stage: str, work: Callable) -> Callable:
        """The same function; its time counts for the stage, but for that of stages within."""

        def timed_work(*args, **more):
            outside = getattr(self._inner, "spent", (0.0, 0.0))
            self._inner.spent = 0.0, 0.0
            began = time.perf_counter(), time.thread_time()
            try:
                return work(*args, **more)
            finally:
                wall, busy = time.perf_counter() - began[0], time.thread_time() - began[1]
                within = self._inner.spent
                self.wall[stage] += wall - within[0]
                self.busy[stage] += busy - within[1]
                self._inner.spent = outside[0] + wall, outside[1] + busy

        return timed_work

    def timed_items(self, stage: str, work: Callable) -> Callable:
        """Likewise of what gives items one by one."""

        def timed_work(*args, **more):
            following = self.timed(stage, work(*args, **more).__next__)
            while True:
                try:
                    item = following()
                except StopIteration:
                    return
                yield item

        return timed_work


def clocked(clocks: Clocks, judge: LipSyncInference) -> ExitStack:
    """All stages with clocks, while it is entered."""
    places = [
        ("decode", extract, "read_frames", True),
        ("find cuts", tracking.CutDetector, "is_cut", False),
        ("detect", judge.detector, "detect", False),
        ("follow", extract, "track_faces", True),
        ("cut out close-ups", tracking, "close_up", False),
        ("cut out close-ups", tracking, "reduced", False),
        ("crop", OpenTrack, "_crop", False),
        ("crop", tracking, "appearance_of", False),
        ("crop", extract, "write_sample", False),
        ("decode the sound", extract, "stream_audio", True),
        ("MFCC", audio_features, "_mfcc_of", False),
        ("speech", vad._Speech, "of", False),
        ("embed the picture", embedding, "_brightness", False),
        ("embed the picture", embedding, "_video_part", False),
        ("embed the sound", embedding, "_audio_parts", True),
        ("compare", clip_evidence, "compare", False),
        ("judge", speakers, "choose_faces", False),
        ("judge", engine, "build_result", False),
        ("judge", engine, "describe_tracks", False),
    ]
    stack = ExitStack()
    for stage, owner, name, by_item in places:
        work = getattr(owner, name)
        timed = clocks.timed_items(stage, work) if by_item else clocks.timed(stage, work)
        stack.enter_context(patch.object(owner, name, timed))
    return stack


STAGES = (
    "decode", "find cuts", "detect", "cut out close-ups", "follow", "crop", "decode the sound",
    "MFCC", "speech", "embed the picture", "embed the sound", "compare", "judge",
)  # fmt: skip


@dataclass
class Times:
    """Of one score: seconds that passed, of processor time of all threads, and by stage."""

    wall: float
    busy: float
    clocks: Clocks


def score_once(judge: LipSyncInference, video: Path) -> Times:
    clocks = Clocks()
    with clocked(clocks, judge):
        began = time.perf_counter(), time.process_time()
        judge.compute_sync_score(video)
        return Times(time.perf_counter() - began[0], time.process_time() - began[1], clocks)


def largest_shares(rows: list[tuple[str, float, float]], busy: float) -> str:
    """What dominates, in words: the three stages with most processor time, of ``busy`` in all."""
    first = sorted(rows, key=lambda row: row[2], reverse=True)[:3]
    return ", ".join(f"{stage} {100 * spent / busy:.0f} %" for stage, _, spent in first)


def table(times: list[Times]) -> list[tuple[str, float, float]]:
    """(stage, seconds, seconds of its thread's processor time), medians over the runs."""
    return [
        (
            stage,
            statistics.median(one.clocks.wall[stage] for one in times),
            statistics.median(one.clocks.busy[stage] for one in times),
        )
        for stage in STAGES
    ]


def main() -> int:
    parser = make_parser(
        tr("Measure how long it takes to score a clip."),
        "python benchmarks/scoring.py --video v.mp4 --runs 5",
    )
    add_checkpoint(parser)
    parser.add_argument("--video", help=tr("a clip of your own (default: one made on the spot)"))
    parser.add_argument("--seconds", type=float, default=60, help=tr("length of the clip made"))
    parser.add_argument("--runs", type=int, default=3, help=tr("runs; their median counts"))
    args = parser.parse_args()
    judge = LipSyncInference(args.checkpoint, overrides=args.overrides)
    with tempfile.TemporaryDirectory() as folder:
        warm, video = Path(folder) / "warm.mp4", Path(args.video or Path(folder) / "talker.mp4")
        make_test_clip(warm, WARM_S)
        if not args.video:
            make_test_clip(video, args.seconds)
        judge.compute_sync_score(warm)
        info = probe(video)
        print(f"{info.width}×{info.height}, {info.fps:.2f} fps, {info.duration_s:.1f} s; "
              f"{cores()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
        times = [score_once(judge, video) for _ in range(args.runs)]
    print(f"{'stage':22s} {'s':>7s} {'processor s':>12s}")
    rows = table(times)
    wall, busy = (statistics.median(getattr(one, name) for one in times) for name in
                  ("wall", "busy"))  # fmt: skip
    named = sum(spent for _, _, spent in rows)
    for stage, passed, spent in rows:
        print(f"{stage:22s} {passed:7.2f} {spent:12.2f}")
    print(f"{'other threads':22s} {'':7s} {busy - named:12.2f}")
    print(tr("most of the processor time: {shares}", shares=largest_shares(rows, busy)))
    print(tr("in all: {wall:.1f} s, {speed:.1f} × real time; processor time {busy:.1f} s",
             wall=wall, busy=busy, speed=info.duration_s / wall))  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)
