"""Clips become samples: usable and unusable ones, a second run, the command."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.core.workers import Crashed, TimedOut
from src.dataset import build
from src.dataset.build import process_clip, process_clips
from src.dataset.clips import Clip, find_clips
from src.dataset.index import INDEX_NAME, read_index
from src.faces.detection import make_detector
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip, write_wav
from src.pipeline import engine
from src.pipeline.engine import LipSyncInference
from src.preprocessing.extract import extract_clip
from src.preprocessing.sample_file import read_sample
from tests.support.limits import HANG_S
from tests.support.media_files import ffmpeg
from tests.support.processing_helpers import (
    by_clip,
    command,
    map_in_this_process,
    process_folder,
    read_rows,
    records_of,
    run_in_process,
    sample_names,
    settings_in,
    touch,
)

pytest_plugins = ("tests.support.processing_fixtures",)


# ---------------------------------------------------------------------------- names


def test_file_names_of_samples_are_plain_and_unique():
    long_name = "é" * 100 + ".mp4"
    names = ["a.mp4", "a.avi", "x/a.mp4", "口播 1.mp4", "it's.mp4", long_name, "a\udcff.mp4"]
    stems = [build._file_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all(len(stem) <= 60 and "/" not in stem and " " not in stem for stem in stems)


def test_file_names_depend_on_content_and_settings():
    dependencies = [("01", "", 96), ("02", "", 96), ("", "01", 96), ("01", "", 48), ("0", "1", 96)]
    stems = {build._file_stem("a.mp4", *parts) for parts in dependencies}
    assert len(stems) == len(dependencies)


# ---------------------------------------------------------------------------- a run

BAD = {
    "nobody.mp4": "no face detected in",
    "dumb.mp4": "no matching audio file",
    "quiet.mp4": "silent",
    "short.mp4": "only 3 of the 5 frames required",
    "text.mp4": "cannot read",
    "empty.mkv": "is empty",
    "folder.mp4": "is a folder",
    "link.mp4": "is a broken link to",
    "mumble.mp4": "no speech while a face is visible in",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, talking_clip):
    """A folder with usable and unusable clips, processed once: (folder, config, report)."""
    folder = tmp_path_factory.mktemp("run")
    videos, audios = folder / "videos", folder / "audios"
    for name in ("anna/own.mp4", "anna/deep/paired.mp4", "ñ 口播.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(talking_clip, videos / name)
    audios.mkdir()
    audio = read_audio(talking_clip)
    write_wav(audios / "paired.wav", np.concatenate([np.zeros(3200, np.float32), audio]))
    gray = [np.full((80, 80, 3), 90, np.uint8)] * 20
    noise = np.random.default_rng(0).normal(0, 0.1, 12800).astype(np.float32)
    write_clip(videos / "nobody.mp4", gray, 25, noise)
    write_clip(videos / "dumb.mp4", gray, 25, None)
    write_clip(videos / "quiet.mp4", gray, 25, 0 * noise)
    write_clip(videos / "short.mp4", gray[:3], 25, noise)
    (videos / "text.mp4").write_text("no video")
    (videos / "empty.mkv").write_bytes(b"")
    (videos / "folder.mp4").mkdir()
    os.symlink("nowhere", videos / "link.mp4")
    shutil.copy(talking_clip, videos / "mumble.mp4")
    write_wav(audios / "mumble.wav", np.tile(noise, 3)[:32000])
    config = settings_in(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "map_in_processes", map_in_this_process)
        report = process_clips(config, find_clips(config.data))
    return folder, config, report


def test_usable_clips_become_samples(run):
    folder, _, report = run
    samples = by_clip(folder)
    assert set(samples) == {"anna/own.mp4", "anna/deep/paired.mp4", "ñ 口播.mp4"}
    assert len(report.samples) == 3 and report.n_embedded_audio == 2
    assert report.n_reused == report.n_missing == 0
    for name, sample in samples.items():
        assert sample["n_frames"] == 50 and sample["first_frame"] == 0 and sample["fps"] == 25
        assert sample["face_share"] == 1 and sample["offset_ms"] == 0 and sample["faces"] == 1
        assert sample["speaker"] == ("anna" if name.startswith("anna") else "")
        assert sample["id"] == f"{name}#0"
        records = read_sample(folder / "processed" / sample["file"])
        assert len(records) == 50 and records["crop"].shape == (50, 96, 96)
        assert sample["speech_share"] == pytest.approx(records["speech"].mean())
    assert sample_names(folder) == {Path(sample["file"]).name for sample in samples.values()}
    assert {path.name for path in (folder / "processed").iterdir()} == {
        INDEX_NAME, "samples", "skipped.csv", "used_in_part.csv"
    }  # fmt: skip


def test_the_paired_audio_file_is_used(run):
    folder, _, _ = run
    samples = by_clip(folder)
    embedded, paired = (
        read_sample(folder / "processed" / samples[name]["file"])
        for name in ("anna/own.mp4", "anna/deep/paired.mp4")
    )
    assert np.array_equal(embedded["crop"], paired["crop"])
    delayed, original = (part["mfcc"].reshape(200, 40)[:, 0] for part in (paired, embedded))
    assert np.corrcoef(delayed[20:], original[:-20])[0, 1] > 0.95
    assert np.corrcoef(delayed, original)[0, 1] < 0.95
    assert samples["anna/own.mp4"]["audio_sha256"] == ""
    assert len(samples["anna/deep/paired.mp4"]["audio_sha256"]) == 64


def test_files_that_belong_to_no_clip_are_listed_too(tmp_path, monkeypatch, capsys):
    for name in ("videos/a.mp4", "videos/notes.txt", "audios/recorder.wav"):
        touch(tmp_path / name)
    status, out, _ = run_in_process(monkeypatch, capsys, tmp_path)
    assert status == 2 and "2 other files in the folders belong to no clip (listed in" in out
    reasons = {Path(row[0]).name: row[1] for row in read_rows(tmp_path / "processed/skipped.csv")}
    assert reasons.pop("a.mp4").endswith("the file is empty")
    assert reasons == {
        "notes.txt": "not the name of a video file", "recorder.wav": "no video has this name",
    }  # fmt: skip


def test_unusable_clips_are_listed_with_reasons(run):
    folder, _, report = run
    rows = read_rows(folder / "processed" / "skipped.csv")
    assert report.skipped_table == folder / "processed" / "skipped.csv"
    assert {row[0] for row in rows} == set(BAD) and len(rows) == len(BAD)
    assert sorted(map(tuple, rows)) == sorted(report.skipped)
    for name, reason in rows:
        assert BAD[name] in reason and name in reason and "\n" not in reason


def test_a_second_run_reuses_all_samples(run, in_process):
    folder, config, _ = run
    before = {path: path.stat().st_mtime_ns for path in (folder / "processed/samples").iterdir()}
    index = read_index(folder / "processed" / INDEX_NAME)
    report = process_clips(config, find_clips(config.data))
    assert report.n_reused == 3 and len(report.samples) == 3 and len(report.skipped) == len(BAD)
    assert read_index(folder / "processed" / INDEX_NAME) == index
    after = {path: path.stat().st_mtime_ns for path in (folder / "processed/samples").iterdir()}
    assert after == before


def test_joined_recordings_are_used_as_a_whole_and_listed(tmp_path, in_process, talking_clip):
    """As a live-stream recorder writes them: the clock of the file restarts."""
    part, videos = tmp_path / "part.ts", tmp_path / "videos"
    ffmpeg("-i", talking_clip, "-c", "copy", part)
    videos.mkdir()
    (videos / "a.ts").write_bytes(2 * part.read_bytes())
    report = process_folder(tmp_path)
    (row,) = read_rows(tmp_path / "processed" / "used_in_part.csv")
    assert row == ["a.ts", "the timestamps of the video restart at 2.0 s: the recordings in it are "
                   "joined in file order"]  # fmt: skip
    assert sum(record["n_frames"] for record in report.samples) == 100


def test_a_video_on_its_side_is_processed_upright_and_listed(tmp_path, in_process, talking_clip):
    (tmp_path / "videos").mkdir()
    ffmpeg("-i", talking_clip, "-vf", "transpose=2", "-c:a", "copy", tmp_path / "videos/a.mp4")
    (record,) = process_folder(tmp_path).samples
    (row,) = read_rows(tmp_path / "processed" / "used_in_part.csv")
    assert row == ["a.mp4", "the video lies on its side, without rotation metadata: it was "
                   "processed turned by 90° clockwise (a corrected copy keeps its frames as they "
                   "are)"]  # fmt: skip
    assert record["n_frames"] == 50


def test_clips_used_in_part_are_listed(tmp_path, in_process, talking_clip):
    """A clip with a slide in between, one whose audio continues, and one that is fully used."""
    videos, audios = tmp_path / "videos", tmp_path / "audios"
    faces = [frame.bgr for frame in read_frames(talking_clip)]
    audio, pause = read_audio(talking_clip)[:32000], np.zeros(30 * 640, np.float32)
    slide = [np.full_like(faces[0], 90)] * 30
    videos.mkdir()
    write_clip(videos / "a.mp4", faces + slide + faces, 25, np.concatenate([audio, pause, audio]))
    for name in ("b.mp4", "c.mp4"):
        shutil.copy(talking_clip, videos / name)
    audios.mkdir()
    write_wav(audios / "b.wav", np.tile(audio, 6))
    for _ in range(2):  # the second time they are reused
        report = process_folder(tmp_path)
        assert sorted(report.partially_used) == [
            ("a.mp4", "30 of 130 frames skipped: no face"),
            (
                "b.mp4",
                "the audio is 10.0 s longer than the video: analysed as far as the video goes",
            ),
        ]
        rows = read_rows(tmp_path / "processed" / "used_in_part.csv")
        assert sorted(map(tuple, rows)) == sorted(report.partially_used)
    assert report.n_reused == 3
    records = {record["id"]: record for record in records_of(tmp_path)}
    assert list(records) == ["a.mp4#0", "a.mp4#1", "b.mp4#0", "c.mp4#0"]
    spans = [(record["first_frame"], record["n_frames"]) for record in records.values()]
    assert spans == [(0, 50), (80, 50), (0, 50), (0, 50)]
    assert records["a.mp4#1"]["face_share"] == pytest.approx(100 / 130)
    assert records["a.mp4#1"]["notes"] == [report.partially_used[0][1]]
    assert records["c.mp4#0"]["notes"] == []
    first, second = (
        read_sample(tmp_path / "processed" / records[f"a.mp4#{n}"]["file"]) for n in (0, 1)
    )
    assert np.abs(first["crop"].astype(int) - second["crop"]).mean() < 3, "the same 50 frames"


def test_names_that_are_not_unicode_are_listed_too(tmp_path, in_process):
    """Old archives hold names in the encodings of their time."""
    name = os.fsdecode("坏.mp4".encode("gbk"))
    touch(tmp_path / "videos" / name)
    report = process_folder(tmp_path)
    assert [clip for clip, _ in report.skipped] == [name]
    ((listed_name, _),) = read_rows(tmp_path / "processed" / "skipped.csv")
    assert listed_name == r"\udcbb\udcb5.mp4"


def test_a_clip_that_crashes_its_process_is_listed(tmp_path, monkeypatch):
    touch(tmp_path / "videos" / "crash.mp4")
    monkeypatch.setattr(
        build, "map_in_processes", lambda _w, _c, jobs, *_: ((job, Crashed()) for job in jobs)
    )
    ((name, reason),) = process_folder(tmp_path).skipped
    assert name == "crash.mp4" and "the decoder crashed on" in reason and name in reason


def test_a_clip_that_takes_too_long_is_listed(tmp_path, monkeypatch):
    touch(tmp_path / "videos" / "hangs.mp4")

    def give_up(_work, _context, jobs, _n_workers, timeout_s):
        for job in jobs:
            yield job, TimedOut(timeout_s)

    monkeypatch.setattr(build, "map_in_processes", give_up)
    ((name, reason),) = process_folder(tmp_path, clip_timeout_s=90).skipped
    assert name == "hangs.mp4" and "stopped after 90 s" in reason
    assert "hangs.mp4" in reason and "data.clip_timeout_s" in reason
    assert read_rows(tmp_path / "processed" / "skipped.csv") == [[name, reason]]


def test_any_error_of_a_decoder_is_a_reason(two_clips, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("an unforeseen error")

    monkeypatch.setattr(build, "extract_clip", fail)
    config = settings_in(two_clips, processed_dir=tmp_path)
    reason = process_clip(config.data, (find_clips(config.data)[0], []))
    assert "1.mp4: RuntimeError: an unforeseen error" in reason
    assert not list((tmp_path / "samples").iterdir())


def test_training_and_inference_get_the_same_samples(
    tmp_path, in_process, monkeypatch, talking_clip
):
    """One path serves both: a clip gives the same crops and MFCC, bit for bit."""
    (tmp_path / "videos").mkdir()
    shutil.copy(talking_clip, tmp_path / "videos" / "a.mp4")
    process_folder(tmp_path)
    (record,) = records_of(tmp_path)
    (track,) = inference_samples(tmp_path / "videos" / "a.mp4", settings_in(tmp_path), monkeypatch)
    assert track == (tmp_path / "processed" / record["file"]).read_bytes()


def inference_samples(video: Path, config, monkeypatch) -> list[bytes]:
    """Samples that ``LipSyncInference`` has on disk when it starts to embed."""

    class Extracted(Exception):
        pass

    def spy(*arguments, **options):
        raise Extracted(
            [track.path.read_bytes() for track in extract_clip(*arguments, **options).tracks]
        )

    monkeypatch.setattr(engine, "extract_clip", spy)
    inference = object.__new__(LipSyncInference)  # no network is needed to get this far
    inference.config, inference.detector = config, make_detector(config.data)
    inference.trained = SimpleNamespace(calibration=None)
    with pytest.raises(Extracted) as caught:
        inference.compute_sync_score(video)
    return caught.value.args[0]


def test_a_bug_of_the_program_is_told_with_its_place(tmp_path, monkeypatch, capsys):
    """It costs its clip alone, but can be found."""

    def broken(*_):
        raise ZeroDivisionError("x")

    monkeypatch.setattr(build, "_process", broken)
    clip = Clip("a.mp4", tmp_path / "a.mp4", None)
    reason = process_clip(settings_in(tmp_path).data, (clip, []))
    assert reason.endswith("a.mp4: ZeroDivisionError: x")
    err = capsys.readouterr().err
    assert "a.mp4; please report it:\nTraceback" in err and "in broken" in err


# ---------------------------------------------------------------------------- the command


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_no_video_is_one_line(tmp_path, run_script, make):
    make(tmp_path / "videos")
    code, _, err = run_script(tmp_path)
    (line,) = err.splitlines()
    assert code == 2 and line.startswith("error: no video in")


def test_no_usable_clip_is_one_line_after_the_reasons(tmp_path, run_script):
    touch(tmp_path / "videos" / "bad.mp4")
    code, out, err = run_script(tmp_path)
    assert code == 2 and "Traceback" not in out + err and "bad.mp4" in out
    assert err.splitlines()[-1].startswith("error: no usable clip in")


@pytest.mark.slow
def test_the_closing_lines_of_the_guide(run):
    folder, _, _ = run
    process = subprocess.run(
        command(folder), capture_output=True, encoding="utf-8", timeout=HANG_S,
        env=os.environ | {"LIPSYNC_LANG": "zh", "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    n_clips = 3 + len(BAD)
    assert lines[0] == f"找到 {n_clips} 个视频文件"
    assert "处理视频: 100%|" in process.stderr and f"{n_clips}/{n_clips}" in process.stderr
    processed = folder / "processed"
    assert lines[-3:] == [
        "处理完成！共处理 3 个样本",
        f"数据保存在: {processed}",
        f"索引文件: {processed / INDEX_NAME}",
    ]
    assert "未检测到人脸" in process.stdout and "未找到对应的音频文件" in process.stdout
