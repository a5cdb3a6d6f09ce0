"""How fast, how late and in how much memory a live stream is judged (``src/stream.py``).

A clip is played over and over, picture by picture and in blocks of sound of 20 ms at 48 kHz, as a
player or a webcam page would. Decoding is not counted: the clock runs while the stream works. The
clip is made on the spot, 640×480 with a drawn talker, or is one of yours.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.preprocessing import make_test_clip
from src.core.cli import add_checkpoint, make_parser, run, settings_of
from src.core.constants import FPS
from src.i18n.messages import tr
from src.live.stream import LipSyncStream
from src.media.container import probe
from src.media.reader import audio_blocks, read_frames
from src.pipeline.engine import LipSyncInference

RATE = 48000  # Hz
BLOCK = RATE // 50  # samples: 20 ms


def played(video: Path, minutes: float) -> Iterator[tuple[str, np.ndarray, float]]:
    """What a player would push, in the order of time: (method, content, time in s)."""
    sound = _sound_of(video)
    begin, frame = 0.0, 0
    while True:
        place = 0
        for index, picture in enumerate(read_frames(video)):
            now = begin + index / FPS
            if now >= 60 * minutes:
                return
            while place < (index + 1) * RATE // FPS:  # the sound of this picture
                block = np.zeros(BLOCK, np.float32)
                heard = sound[place : place + BLOCK]
                block[: len(heard)] = heard
                yield "push_audio", block, begin + place / RATE
                place += BLOCK
            yield "push_frames", picture.bgr, now
            frame += 1
        begin = frame / FPS


def _sound_of(video: Path) -> np.ndarray:
    """float32 [n] at ``RATE``."""
    blocks = [(start, block.mean(0)) for start, block in audio_blocks(video, RATE)]
    sound = np.zeros(max(start + len(block) for start, block in blocks), np.float32)
    for start, block in blocks:
        if start + len(block) <= 0:  # before the first picture
            continue
        sound[max(0, start) : start + len(block)] = block[max(0, -start) :]
    return sound


def peak_mb() -> float | None:
    """The most memory this process has taken so far; None where that is not measured."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> int:
    parser = make_parser(
        tr("Measure how fast, how late and in how much memory a live stream is judged."),
        "python benchmarks/streaming.py --minutes 5",
    )
    add_checkpoint(parser)
    parser.add_argument("--video", help=tr("a clip of your own (default: one made on the spot)"))
    parser.add_argument("--seconds", type=float, default=20, help=tr("length of the clip made"))
    parser.add_argument("--minutes", type=float, default=5, help=tr("minutes of the stream"))
    args = parser.parse_args()
    given = settings_of(args) if args.config else None
    inference = LipSyncInference(args.checkpoint, "cpu", given, args.overrides)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(args.video or Path(folder) / "talker.mp4")
        if not args.video:
            make_test_clip(video, args.seconds)
        info = probe(video)
        print(tr("{name}: {width}×{height}, {fps:.1f} fps, played {minutes:g} minutes",
                 name=video.name, width=info.width, height=info.height, fps=info.fps,
                 minutes=args.minutes))  # fmt: skip
        measure(inference, video, args.minutes)
    return 0


def measure(inference: LipSyncInference, video: Path, minutes: float) -> None:
    """Play, and print the figures."""
    stream, latest = LipSyncStream(inference, RATE), None
    spent, answers, first_mb = np.zeros(2), [], None  # seconds by the clock and of the processor
    for kind, content, now in played(video, minutes):
        began = np.array([time.perf_counter(), time.process_time()])
        result = getattr(stream, kind)(content, now)
        took = np.array([time.perf_counter(), time.process_time()]) - began
        spent += took
        if result is not latest:
            answers.append(took)
            latest = result
        if first_mb is None and now >= min(60, 20 * minutes):
            first_mb = peak_mb()
    last_mb = peak_mb()
    flushed = stream.flush()
    speed, by_processor = 60 * minutes / spent
    print(tr("speed: {speed:.1f} × real time ({processor:.1f} × by processor time)",
             speed=speed, processor=by_processor))  # fmt: skip
    (median, busy), (late, busy_late) = np.percentile(answers, [50, 95], axis=0) * 1000
    print(tr("latency, from the last sample to the answer: median {median:.0f} ms, 95 % "
             "{late:.0f} ms (processor time: {busy:.0f} and {busy_late:.0f} ms)",
             median=median, late=late, busy=busy, busy_late=busy_late))  # fmt: skip
    if first_mb is None:
        print(tr("peak memory: only Unix measures it"))
    else:
        print(tr("peak memory: {first:.0f} MB after minute 1, {more:+.1f} MB by minute {last:g}",
                 first=first_mb, more=last_mb - first_mb, last=minutes))  # fmt: skip
    print(tr("result: {result}", result=flushed.so_far))


if __name__ == "__main__":
    run(main)
