"""Copies of a clip with a drawn face: their clock, their codecs, and bad input."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from src.conditions.catalog import (
    ALL,
    AUDIO_GROUPS,
    CONDITIONS,
    NAMES,
    VIDEO_GROUPS,
    draw_condition,
)
from src.conditions.codecs import VIDEO_CODECS, VideoCoding, write_degraded
from src.conditions.degrade import DegradeJob, degrade_clip, find_face
from src.conditions.video_effects import TimedFrame
from src.media.container import probe
from src.media.reader import read_audio, read_frames
from tests.support.bad_clips import scenery, write_talking_head
from tests.support.training_helpers import run_script


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "anna" / "one.mp4"
    path.parent.mkdir()
    write_talking_head(path)
    return path


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_frames_and_audio_stay_in_step_in_every_codec(tmp_path, codec):
    """A flash and a click at 0.8 s, with frames at uneven times."""
    times = np.cumsum(np.r_[0, np.tile([0.04, 0.08, 0.04], 13)])
    flash = int(np.argmin(np.abs(times - 0.8)))
    frames = [
        TimedFrame(time, np.full((96, 128, 3), 200 if index == flash else 60, np.uint8))
        for index, time in enumerate(times)
    ]
    samples = np.zeros(2 * 16000, np.float32)
    samples[round(times[flash] * 16000)] = 0.9
    path = tmp_path / "copy.mkv"
    write_degraded(path, frames, VideoCoding(codec, 300_000, VIDEO_CODECS[codec]), samples)
    brightness = [frame.bgr.mean() for frame in read_frames(path)]
    assert int(np.argmax(brightness)) == round(times[flash] * 25)
    click = int(np.argmax(np.abs(read_audio(path)))) / 16000
    assert click == pytest.approx(times[flash], abs=0.001)


@pytest.mark.parametrize("condition", ["video_codec", "small_face", "frame_rate", "room", ALL])
def test_a_copy_is_of_the_same_length_and_made_once(tmp_path, clip, condition):
    job = DegradeJob(clip, None, tmp_path / f"one~{condition}.mkv", condition, (clip,))
    assert degrade_clip(0, job) == ""
    original, copy = probe(clip), probe(job.target)
    assert copy.has_audio and copy.duration_s == pytest.approx(original.duration_s, abs=0.15)
    assert len(read_audio(job.target)) == pytest.approx(len(read_audio(clip)), abs=16)
    before = job.target.stat()
    assert degrade_clip(1, job) == ""  # an existing copy stays
    assert job.target.stat().st_mtime_ns == before.st_mtime_ns


def test_the_same_seed_gives_the_same_copy(tmp_path, clip):
    copies = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        job = DegradeJob(clip, None, tmp_path / folder / "one~all.mkv", ALL, (clip,))
        assert degrade_clip(seed, job) == ""
        copies.append(read_audio(job.target))
    assert (copies[0] == copies[1]).all() and not np.array_equal(copies[0], copies[2])


def test_the_face_is_where_it_was_drawn(clip):
    face = find_face(clip)
    assert 0.3 < face.x < 0.7 and 0.3 < face.y < 0.8 and 0.1 < face.width < 0.9


def test_a_clip_without_a_face_or_that_is_damaged_is_one_line(tmp_path):
    video, broken = tmp_path / "hills.mp4", tmp_path / "broken.mp4"
    write_talking_head(video, frames=scenery())
    broken.write_bytes(b"no video" * 100)
    for path, reason in ((video, "no face"), (broken, "cannot read")):
        target = tmp_path / "out" / "copy.mkv"
        problem = degrade_clip(0, DegradeJob(path, None, target, "beauty"))
        assert reason in problem and path.name in problem and "\n" not in problem
        assert not target.exists()


def test_all_draws_conditions_that_go_together():
    rng = np.random.default_rng(0)
    drawn = [draw_condition(ALL, rng) for _ in range(200)]
    assert all(condition.is_coded for condition in drawn)
    assert {len(condition.video) for condition in drawn} >= {1, 2, 3, 4}
    grouped = {name for group in (*VIDEO_GROUPS, *AUDIO_GROUPS) for name in group if name}
    assert grouped == set(CONDITIONS)  # every condition may be among them
    assert set(NAMES) == {*CONDITIONS, ALL}


def test_the_command(tmp_path, clip):
    table = tmp_path / "offsets.tsv"
    table.write_text("path\toffset_ms\nanna/one.mp4\t-40\n", encoding="utf-8")
    out = tmp_path / "out"
    done = run_script("tools/degrade_clips.py", clip.parent.parent, "--output", out, "--conditions",
                      "exposure", "device", "--reference", table, "--workers", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 copies" in done.stdout
    rows = (out / "offsets.tsv").read_text(encoding="utf-8").splitlines()
    assert rows == ["path\toffset_ms\tcondition", "anna/one~exposure.mkv\t-40\texposure",
                    "anna/one~device.mkv\t-40\tdevice"]  # fmt: skip
    assert sorted(path.name for path in out.rglob("*.mkv")) == [
        "one~device.mkv", "one~exposure.mkv",
    ]  # fmt: skip


def test_copies_beside_their_clips_are_not_degraded_again(tmp_path, clip):
    folder = tmp_path / "clips" / "anna"
    folder.mkdir(parents=True)
    for name in ("one.mp4", "one~all.mkv", "one~device-2.mkv", "one~all4.mkv"):
        shutil.copy(clip, folder / name)
    shutil.copy(clip, folder / "talk~room-204.mkv")  # a clip of its own: there is no talk
    done = run_script("tools/degrade_clips.py", tmp_path / "clips", "--output", tmp_path / "out",
                      "--conditions", "device", "--workers", "1")  # fmt: skip
    assert done.returncode == 0 and "3 copies left out" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.mkv")) == [
        "one~device.mkv", "talk~room-204~device.mkv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{empty}", "--output", "{out}"], "no video in"),
        (["{clips}", "--output", "{out}", "--conditions", "rain"], "rain"),
        (["{clips}", "--output", "{out}", "--copies", "0"], "--copies"),
        (["{clips}", "--output", "{out}", "--reference", "{out}/none.tsv"], "file not found"),
    ],
)
def test_bad_input_is_one_line(tmp_path, clip, arguments, reason):
    (tmp_path / "empty").mkdir()
    paths = {"empty": tmp_path / "empty", "out": tmp_path / "out", "clips": clip.parent.parent}
    done = run_script("tools/degrade_clips.py", *(text.format(**paths) for text in arguments))
    assert done.returncode != 0 and reason in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.rglob("*.mkv"))
