"""Damaged files by the hundred: the command survives each, in little time, and accounts for it.

``FUZZ_SEED=7 python -m pytest tests/test_fuzz.py -s`` tries others and prints what came of them.
"""

import csv
import faulthandler
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.core.config import DEFAULT_CONFIG, DataConfig
from src.dataset.build import process_clip
from src.dataset.clips import Clip
from src.dataset.index import INDEX_NAME, read_index
from src.media.suffixes import AUDIO_SUFFIXES
from src.media.writer import write_clip
from tests.support import bad_clips
from tests.support.limits import HANG_S
from tests.support.media_files import ffmpeg
from tools.synthetic_talker import SAMPLE_RATE

SEED = int(os.environ.get("FUZZ_SEED", 0))
FILES = 200
FRAMES, SIDE = 20, 128
LONGEST_S = 20  # of one file, in the processor's time …
HUNG_S = 90  # … and by the clock, on a machine with other work

H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "1"]
# The containers, and what is in them.
KINDS = {
    "mp4": [*H264, "-c:a", "aac"],
    "front.mp4": [*H264, "-c:a", "aac", "-movflags", "+faststart"],
    "pieces.mp4": [*H264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"],
    "mov": ["-c:v", "mpeg4", "-c:a", "pcm_s16le", "-movflags", "+faststart"],
    "mkv": [*H264, "-c:a", "flac"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"],
    "avi": ["-c:v", "mpeg4", "-bf", "2", "-c:a", "pcm_s16le"],
    "ts": [*H264, "-c:a", "aac"],
    "mpg": ["-c:v", "mpeg1video", "-c:a", "mp2", "-f", "mpeg"],
    "interlaced.mpg": ["-vf", "setfield=tff", "-c:v", "mpeg2video", "-flags", "+ilme+ildct",
                       "-c:a", "ac3", "-f", "vob"],
    "deep.mkv": [*H264, "-pix_fmt", "yuv444p10le", "-c:a", "libvorbis"],
    "flv": [*H264, "-c:a", "aac"],
    "wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
    "wav": ["-vn", "-c:a", "pcm_s16le"],
    "mp3": ["-vn", "-c:a", "libmp3lame"],
    "m4a": ["-vn", "-c:a", "aac"],
    "flac": ["-vn", "-c:a", "flac"],
    "aac": ["-vn", "-c:a", "aac"],
    "ogg": ["-vn", "-c:a", "libvorbis"],
}  # fmt: skip

# ---------------------------------------------------------------------------- damage


def _span(data: bytearray, rng: np.random.Generator, most: int = 2000) -> slice:
    start = int(rng.integers(len(data)))
    return slice(start, start + int(rng.integers(1, most)))


def flip(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(len(data), size=rng.integers(1, 40)):
        data[place] ^= 1 << int(rng.integers(8))


def zero(data: bytearray, rng: np.random.Generator) -> None:
    span = _span(data, rng)
    data[span] = bytes(len(data[span]))


def cut_short(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(1, len(data))) :]


def remove(data: bytearray, rng: np.random.Generator) -> None:
    del data[_span(data, rng)]


def double(data: bytearray, rng: np.random.Generator) -> None:
    span = _span(data, rng)
    data[span.start : span.start] = data[span] * int(rng.integers(1, 6))


def swap(data: bytearray, rng: np.random.Generator) -> None:
    one, other = _span(data, rng), _span(data, rng)
    data[one], data[other] = data[other], data[one]


def spoil_header(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(min(len(data), 3000), size=rng.integers(1, 6)):
        data[place] = int(rng.integers(256))


def append_garbage(data: bytearray, rng: np.random.Generator) -> None:
    data += rng.bytes(int(rng.integers(1, 20_000)))


def change_number(data: bytearray, rng: np.random.Generator) -> None:
    """A length, a time or a count becomes another: four bytes, mostly near the contents."""
    names = (
        rb"moov|mdat|trak|stts|stsz|stsc|stco|ctts|elst|mdhd|mvhd|tfdt|trun|tfhd|pasp|tkhd|avc1|mp4a"
        rb"|avcC|esds|LIST|idx1|avih|strh|strf"
    )
    places = [match.start() for match in re.finditer(names, data)]
    if places and rng.random() < 0.7:
        place = int(rng.choice(places)) + int(rng.choice([-4, 4, 8, 12, 16, 20, 24, 28, 32, 36]))
    else:
        place = int(rng.integers(len(data)))
    place = max(0, min(place, len(data) - 4))
    numbers = [0, 1, 255, 1 << 16, 1 << 24, (1 << 31) - 1, (1 << 32) - 1, rng.integers(1 << 32)]
    number = int(numbers[rng.integers(len(numbers))])
    data[place : place + 4] = number.to_bytes(4, "big" if rng.random() < 0.6 else "little")


DAMAGE: list[Callable[[bytearray, np.random.Generator], None]] = [
    flip, zero, cut_short, remove, double, swap, spoil_header, append_garbage, change_number,
    change_number, change_number,
]  # fmt: skip


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        if len(data) > 8:
            DAMAGE[rng.integers(len(DAMAGE))](data, rng)
    return bytes(data)


# ---------------------------------------------------------------------------- the run


def make_sources(folder: Path) -> dict[str, bytes]:
    """A talking face of 0.8 s in each kind of file."""
    pictures, samples = bad_clips.talking_head()
    small = [cv2.resize(picture, (SIDE, SIDE)) for picture in pictures[20 : 20 + FRAMES]]
    spoken = samples[20 * SAMPLE_RATE // 25 :][: FRAMES * SAMPLE_RATE // 25]
    source = folder / "source.mkv"
    write_clip(source, small, 25, spoken, SAMPLE_RATE)
    made = {}
    for kind, options in KINDS.items():
        path = folder / f"source.{kind}"
        if path != source:
            ffmpeg("-i", source, "-threads", 1, *options, path)
        made[kind] = path.read_bytes()
    return made


def make_damaged(folder: Path, sources: dict[str, bytes], seed: int) -> set[str]:
    """FILES damaged clips, or whole ones with damaged sound; their names."""
    videos, audios = folder / "videos", folder / "audios"
    videos.mkdir()
    audios.mkdir()
    names = set()
    kinds = list(sources)
    for number in range(FILES):
        kind = kinds[number % len(kinds)]
        data = damaged(sources[kind], np.random.default_rng([seed, number]))
        suffix = "." + kind.rsplit(".")[-1]
        stem = f"{number:03}-{kind.partition('.')[0]}"
        if suffix in AUDIO_SUFFIXES:
            (audios / (stem + suffix)).write_bytes(data)
            suffix, data = ".mp4", sources["mp4"]
        (videos / (stem + suffix)).write_bytes(data)
        names.add(stem + suffix)
    return names


_ready: list[bool] = []


def timed_process_clip(settings: DataConfig, job: tuple[Clip, list]) -> str | tuple:
    """``process_clip`` that writes down when it began and how long it took. A clip that takes far
    too long ends the process, with a word on where it was."""
    folder = Path(settings.processed_dir).parent
    if not _ready:  # what takes time once is not counted
        apart = settings.model_copy(update={"processed_dir": str(folder / f"{os.getpid()}")})
        whole = Clip("whole.mp4", folder / "whole.mp4", None)
        assert not isinstance(process_clip(apart, (whole, [])), str)
        _ready.append(True)
    with open(folder / "times" / f"{job[0].name}.txt", "a+") as note:
        faulthandler.dump_traceback_later(HUNG_S, exit=True)
        clock, busy = time.monotonic(), time.process_time()
        result = process_clip(settings, job)
        faulthandler.cancel_dump_traceback_later()
        note.write(f"{time.monotonic() - clock} {time.process_time() - busy} {_peak_mib()}\n")
    return result


def _peak_mib() -> float:
    """The most memory this process held so far."""
    if os.name == "nt":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


LAUNCH = """
from src import data_processing
from src.core import cli
from src.dataset import build
from tests.pipeline.test_fuzz import timed_process_clip
build.process_clip = timed_process_clip
cli.run(data_processing.main)
"""


@pytest.mark.slow
def test_the_command_survives_damaged_files(tmp_path):
    sources = make_sources(tmp_path)
    names = make_damaged(tmp_path, sources, SEED)
    (tmp_path / "times").mkdir()
    (tmp_path / "whole.mp4").write_bytes(sources["mp4"])
    before = bad_clips.contents(tmp_path / "videos", tmp_path / "audios")
    processed = tmp_path / "processed"
    command = [sys.executable, "-c", LAUNCH, "--config", str(DEFAULT_CONFIG)]
    for key, folder in {"video": "videos", "audio": "audios", "processed": "processed"}.items():
        command += ["--set", f"data.{key}_dir={tmp_path / folder}"]
    done = subprocess.run(
        command, cwd=DEFAULT_CONFIG.parent, capture_output=True, encoding="utf-8", timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    assert "Timeout (" not in done.stderr, f"a file hangs:\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr

    with open(processed / "skipped.csv", encoding="utf-8-sig", newline="") as file:
        skipped = dict(list(csv.reader(file))[1:])
    used = {sample["clip"] for sample in read_index(processed / INDEX_NAME)["samples"]}
    times = {}
    for note in (tmp_path / "times").iterdir():
        lines = note.read_text().splitlines()
        times[note.stem] = [float(part) for part in lines[-1].split()] if lines else None
    dead = sorted(name for name, took in times.items() if took is None)
    _print_report(used, skipped, times, dead, done.stderr)

    assert used | set(skipped) == names == set(times) and not used & set(skipped)
    for name, reason in skipped.items():
        assert Path(name).stem in reason and len(reason.splitlines()) == 1, reason
        if name in dead:
            assert "crashed" in reason, "a decoder that dies is named"
        else:
            assert not reason.startswith("unreadable"), f"an exception nobody foresaw: {reason}"
    slowest = max(took[1] for took in times.values() if took)
    assert slowest < LONGEST_S, {name: t for name, t in times.items() if t and t[1] > LONGEST_S}
    assert bad_clips.contents(tmp_path / "videos", tmp_path / "audios") == before
    assert not list((processed / "samples").glob(".*")), "nothing half-made stays"


def _print_report(used, skipped, times, dead, errors) -> None:
    """What came of the files, with ``pytest -s``."""
    print(f"\nFUZZ seed {SEED}: {len(used)} used, {len(skipped)} skipped, {len(dead)} dead: {dead}")
    plain = Counter(re.sub(r"\d+(\.\d+)?|\S*[/\\]\S*", "#", reason) for reason in skipped.values())
    for reason, count in plain.most_common():
        print(f"{count:5} {reason}")
    done = {name: took for name, took in times.items() if took}
    for name in sorted(done, key=lambda name: -done[name][1])[:5]:
        print(f"{done[name][1]:8.2f} s {name}: {skipped.get(name, 'used')}")
    if done:
        print(f"{max(took[2] for took in done.values()):8.0f} MiB at most")
    for line in errors.splitlines():
        if "videos:" not in line:
            print("      said:", line)
