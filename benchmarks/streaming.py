"""Speed, latency and memory of scoring a live stream (``src/stream.py``).

A clip is played in a loop, frame by frame and in audio blocks of 20 ms at 48 kHz, as a player or a
webcam page would. Decoding is not counted: only the stream's own work is timed. The clip is
synthetic, 640×480 with a drawn face, or is one of yours.
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
from src.core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from src.core.constants import FPS
from src.i18n.messages import tr
from src.live.stream import LipSyncStream
from src.media.container import probe
from src.media.reader import audio_blocks, read_frames
from src.pipeline.engine import LipSyncInference

RATE = 48000  # Hz
BLOCK = RATE // 50  # samples: 20 ms


def play(video: Path, minutes: float) -> Iterator[tuple[str, np.ndarray, float]]:
    """What a player would push, in order of time: (method, data, time in s)."""
    audio = _read_audio(video)
    loop_start_s, n_frames = 0.0, 0
    while True:
        position = 0
        for index, frame in enumerate(read_frames(video)):
            time_s = loop_start_s + index / FPS
            if time_s >= 60 * minutes:
                return
            while position < (index + 1) * RATE // FPS:  # the audio of this frame
                block = np.zeros(BLOCK, np.float32)
                samples = audio[position : position + BLOCK]
                block[: len(samples)] = samples
                yield "push_audio", block, loop_start_s + position / RATE
                position += BLOCK
            yield "push_frames", frame.bgr, time_s
            n_frames += 1
        loop_start_s = n_frames / FPS


def _read_audio(video: Path) -> np.ndarray:
    """float32 [n] at ``RATE``."""
    blocks = [(start, block.mean(0)) for start, block in audio_blocks(video, RATE)]
    audio = np.zeros(max(start + len(block) for start, block in blocks), np.float32)
    for start, block in blocks:
        if start + len(block) <= 0:  # before the first frame
            continue
        audio[max(0, start) : start + len(block)] = block[max(0, -start) :]
    return audio


def peak_mb() -> float | None:
    """Peak memory of this process so far in MB; None where it cannot be measured."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> int:
    parser = make_parser(
        tr("Measure speed, latency and memory of scoring a live stream."),
        "python benchmarks/streaming.py --minutes 5",
    )
    add_checkpoint(parser)
    parser.add_argument("--video", help=tr("a clip of your own (default: a synthetic one)"))
    parser.add_argument(
        "--seconds", type=float, default=20, help=tr("duration of the synthetic clip")
    )
    parser.add_argument("--minutes", type=float, default=5, help=tr("minutes of the stream"))
    args = parser.parse_args()
    config = settings_of(args, SCORING_SETTINGS)
    config = config if args.config else None
    inference = LipSyncInference(args.checkpoint, "cpu", config, args.overrides)
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
    """Play the clip and print speed, latency and memory."""
    stream, latest = LipSyncStream(inference, RATE), None
    total_s, latencies_s, first_mb = np.zeros(2), [], None  # wall-clock and CPU seconds
    for method, data, time_s in play(video, minutes):
        start = np.array([time.perf_counter(), time.process_time()])
        result = getattr(stream, method)(data, time_s)
        elapsed_s = np.array([time.perf_counter(), time.process_time()]) - start
        total_s += elapsed_s
        if result is not latest:
            latencies_s.append(elapsed_s)
            latest = result
        if first_mb is None and time_s >= min(60, 20 * minutes):
            first_mb = peak_mb()
    last_mb = peak_mb()
    flushed = stream.flush()
    speed, cpu_speed = 60 * minutes / total_s
    print(tr("speed: {speed:.1f} × real time ({cpu:.1f} × by CPU time)",
             speed=speed, cpu=cpu_speed))  # fmt: skip
    (median, cpu), (p95, cpu_p95) = np.percentile(latencies_s, [50, 95], axis=0) * 1000
    print(tr("latency from the last sample to the result: median {median:.0f} ms, 95th percentile "
             "{p95:.0f} ms (CPU time: {cpu:.0f} and {cpu_p95:.0f} ms)",
             median=median, p95=p95, cpu=cpu, cpu_p95=cpu_p95))  # fmt: skip
    if first_mb is None:
        print(tr("peak memory: can only be measured on Unix"))
    else:
        print(tr("peak memory: {first:.0f} MB after minute 1, {growth:+.1f} MB by minute {last:g}",
                 first=first_mb, growth=last_mb - first_mb, last=minutes))  # fmt: skip
    print(tr("result: {result}", result=flushed.so_far))


if __name__ == "__main__":
    run(main)
