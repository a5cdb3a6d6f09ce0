"""Clips become samples: pairing, reuse, bad clips, crashes and Ctrl+C."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src import data_processing
from src.config import DEFAULT_CONFIG, Config, DataConfig, load_config
from src.data_processing import Clip, find_clips, process
from src.errors import DatasetError, DetectorError, OutputError
from src.media import read_audio
from src.muxing import write_clip, write_wav
from src.sample_index import INDEX_NAME, read_index, read_sample
from tools.synthetic_talker import make_clip

SCRIPT = Path(data_processing.__file__)


def settings_in(folder: Path, **changes) -> Config:
    data = {
        "video_dir": str(folder / "videos"),
        "audio_dir": str(folder / "audios"),
        "processed_dir": str(folder / "processed"),
        "num_workers": 1,
    } | changes
    return load_config(None, [f"data.{key}={value}" for key, value in data.items()])


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


# ---------------------------------------------------------------------------- finding clips


def test_videos_and_sounds_are_paired_by_name(tmp_path):
    videos, audios = tmp_path / "videos", tmp_path / "audios"
    names = ["a.mp4", "b.MOV", "anna/c.mkv", "anna/deep/d.webm", "bob/c.avi", "e.flv", "f f.mpg"]
    for name in [*names, "notes.txt", "cover.jpg", "g.wav"]:
        touch(videos / name)
    sounds = {
        "a.mp4": "a.wav", "b.MOV": "b.MP3", "anna/c.mkv": "anna/c.m4a",
        "anna/deep/d.webm": "d.flac", "e.flv": "e.aac", "f f.mpg": "f f.ogg",
    }  # fmt: skip
    for name in [*sounds.values(), "other.wav", "a.txt"]:
        touch(audios / name)
    (videos / "folder.mp4").mkdir()
    clips = {clip.name: clip for clip in find_clips(settings_in(tmp_path).data)}
    assert set(clips) == set(names)
    for name, clip in clips.items():
        assert clip.video == videos / name
        assert clip.audio == (audios / sounds[name] if name in sounds else None)
    speakers = {name: clip.speaker for name, clip in clips.items()}
    assert speakers["anna/c.mkv"] == speakers["anna/deep/d.webm"] == "anna"
    assert speakers["bob/c.avi"] == "bob" and speakers["a.mp4"] == ""


def test_the_sound_of_the_same_folder_comes_first(tmp_path):
    for name in ("videos/anna/c.mp4", "videos/bob/c.mp4", "audios/c.wav", "audios/anna/c.mp3"):
        touch(tmp_path / name)
    sounds = {clip.name: clip.audio for clip in find_clips(settings_in(tmp_path).data)}
    assert sounds["anna/c.mp4"] == tmp_path / "audios/anna/c.mp3"
    assert sounds["bob/c.mp4"] == tmp_path / "audios/c.wav"


def test_no_video_says_what_to_put_where(tmp_path):
    for make in (lambda: None, lambda: touch(tmp_path / "videos" / "readme.txt")):
        make()
        with pytest.raises(DatasetError, match=r"no video in .*videos.*put clips.*audios"):
            find_clips(settings_in(tmp_path).data)


def test_file_names_of_samples_are_plain_and_distinct():
    names = ["a.mp4", "a.avi", "x/a.mp4", "口播 1.mp4", "it's.mp4", "é" * 100 + ".mp4"]
    stems = [data_processing._file_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all(len(stem) <= 60 and "/" not in stem and " " not in stem for stem in stems)


# ---------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def ran(tmp_path_factory, talking_clip):
    """A folder with good and bad clips, processed once: (folder, config, report, printed)."""
    folder = tmp_path_factory.mktemp("run")
    videos, audios = folder / "videos", folder / "audios"
    for name in ("anna/own.mp4", "anna/deep/paired.mp4", "ñ 口播.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(talking_clip, videos / name)
    audios.mkdir()
    sound = read_audio(talking_clip)
    write_wav(audios / "paired.wav", np.concatenate([np.zeros(3200, np.float32), sound]))
    gray = [np.full((80, 80, 3), 90, np.uint8)] * 20
    noise = np.random.default_rng(0).normal(0, 0.1, 12800).astype(np.float32)
    write_clip(videos / "nobody.mp4", gray, 25, noise)
    write_clip(videos / "dumb.mp4", gray, 25, None)
    write_clip(videos / "quiet.mp4", gray, 25, 0 * noise)
    write_clip(videos / "short.mp4", gray[:3], 25, noise)
    (videos / "text.mp4").write_text("no film")
    (videos / "empty.mkv").write_bytes(b"")
    config = settings_in(folder)
    report = process(config, find_clips(config.data))
    return folder, config, report


def samples_of(folder: Path) -> dict[str, dict]:
    index = read_index(folder / "processed" / INDEX_NAME)
    return {sample["clip"]: sample for sample in index["samples"]}


def test_good_clips_become_samples(ran):
    folder, _, report = ran
    samples = samples_of(folder)
    assert set(samples) == {"anna/own.mp4", "anna/deep/paired.mp4", "ñ 口播.mp4"}
    assert len(report.samples) == 3 and report.own_sound == 2 and report.reused == 0
    for name, sample in samples.items():
        assert sample["n_frames"] == 50 and sample["first_frame"] == 0 and sample["fps"] == 25
        assert sample["face_share"] == 1 and sample["offset_ms"] == 0
        assert sample["speaker"] == ("anna" if name.startswith("anna") else "")
        records = read_sample(folder / "processed" / sample["file"])
        assert len(records) == 50 and records["crop"].shape == (50, 96, 96)
        assert sample["speech_share"] == pytest.approx(records["speech"].mean())
    files = {path.name for path in (folder / "processed" / "samples").iterdir()}
    assert files == {Path(sample["file"]).name for sample in samples.values()}


def test_the_paired_sound_is_used(ran):
    folder, _, _ = ran
    samples = samples_of(folder)
    own, paired = (
        read_sample(folder / "processed" / samples[name]["file"])
        for name in ("anna/own.mp4", "anna/deep/paired.mp4")
    )
    assert np.array_equal(own["crop"], paired["crop"])
    late, plain = (part["mfcc"].reshape(200, 40)[:, 0] for part in (paired, own))
    assert np.corrcoef(late[20:], plain[:-20])[0, 1] > 0.95 > np.corrcoef(late, plain)[0, 1]
    assert samples["anna/own.mp4"]["audio_sha256"] == ""
    assert len(samples["anna/deep/paired.mp4"]["audio_sha256"]) == 64


def test_bad_clips_are_listed_with_reasons(ran):
    folder, _, report = ran
    expected = {
        "nobody.mp4": "no face found in 20 of 20 frames",
        "dumb.mp4": "no matching audio file",
        "quiet.mp4": "silent",
        "short.mp4": "only 3 frames",
        "text.mp4": "cannot read",
        "empty.mkv": "cannot read",
    }
    path = folder / "processed" / "skipped.csv"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["video", "reason"] and {row[0] for row in rows} == set(expected)
    assert sorted(map(tuple, rows)) == sorted(report.skipped)
    for name, reason in rows:
        assert expected[name] in reason and name in reason and "\n" not in reason


def test_a_second_run_takes_what_is_there(ran):
    folder, config, _ = ran
    before = {path: path.stat().st_mtime_ns for path in (folder / "processed/samples").iterdir()}
    old = samples_of(folder)
    report = process(config, find_clips(config.data))
    assert report.reused == 3 and len(report.samples) == 3 and len(report.skipped) == 6
    assert samples_of(folder) == old
    after = {path: path.stat().st_mtime_ns for path in (folder / "processed/samples").iterdir()}
    assert after == before


def test_what_changed_is_done_again(ran, tmp_path, talking_clip):
    """One clip's sound changed, one sample was lost, one clip is gone: the rest stays."""
    folder = tmp_path / "copy"
    shutil.copytree(ran[0], folder)
    for name in ("nobody.mp4", "dumb.mp4", "quiet.mp4", "short.mp4", "text.mp4", "empty.mkv"):
        (folder / "videos" / name).unlink()
    config = settings_in(folder)
    old = samples_of(folder)
    write_wav(folder / "audios" / "paired.wav", read_audio(talking_clip))
    (folder / "processed" / old["ñ 口播.mp4"]["file"]).unlink()
    report = process(config, find_clips(config.data))
    new = samples_of(folder)
    assert report.reused == 1 and not report.skipped
    assert new["anna/own.mp4"] == old["anna/own.mp4"]
    changed, same = new["anna/deep/paired.mp4"], new["ñ 口播.mp4"]
    assert changed["audio_sha256"] != old["anna/deep/paired.mp4"]["audio_sha256"]
    assert same == old["ñ 口播.mp4"] and (folder / "processed" / same["file"]).exists()

    (folder / "videos/anna/own.mp4").unlink()
    config = settings_in(folder, input_size=48)  # other settings: all is done again
    report = process(config, find_clips(config.data))
    assert report.reused == 0 and set(samples_of(folder)) == set(old) - {"anna/own.mp4"}
    for sample in samples_of(folder).values():
        crops = read_sample(folder / "processed" / sample["file"])["crop"]
        assert crops.shape[1:] == (48, 48)


def test_a_damaged_index_is_made_anew(tmp_path, capsys):
    path = tmp_path / INDEX_NAME
    path.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    assert data_processing._known_samples(path, {}) == {}
    assert "made anew" in capsys.readouterr().out


def test_an_early_end_keeps_what_was_done(ran, tmp_path, monkeypatch):
    """Ctrl+C before the first clip is looked at must not empty the index."""
    folder = tmp_path / "copy"
    shutil.copytree(ran[0], folder)
    old, config = samples_of(folder), settings_in(folder)

    def interrupted(*_):
        yield find_clips(config.data)[0], ([old["anna/deep/paired.mp4"]], True)
        raise KeyboardInterrupt

    monkeypatch.setattr(data_processing, "_results", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process(config, find_clips(config.data))
    assert samples_of(folder) == old


def test_a_detector_that_cannot_start_ends_the_run_at_once(ran, tmp_path, monkeypatch):
    from urllib.error import URLError

    def offline(*_, **__):
        raise URLError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    config, before = settings_in(ran[0], detector="face_alignment"), samples_of(ran[0])
    with pytest.raises(DetectorError):
        process(config, find_clips(config.data))
    assert samples_of(ran[0]) == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    config = settings_in(tmp_path, processed_dir=str(tmp_path / "file" / "processed"))
    with pytest.raises(OutputError, match="processed"):
        process(config, [])


# ---------------------------------------------------------------------------- crashes


def dying_work(clip: Clip, known: list) -> tuple:
    """Stands for work in which a decoder takes the whole process down."""
    if clip.name.startswith("deadly"):
        os._exit(139)
    time.sleep(0.02)
    return [], False


def test_a_worker_that_dies_costs_only_its_clip():
    names = ["a.mp4", "deadly 1.mp4", "b.mp4", "c.mp4", "deadly 2.mp4", *map(str, range(12))]
    clips = [Clip(name, Path(name), None) for name in names]
    settings = DataConfig(num_workers=2)
    results = [
        (clip.name, r) for clip, r in data_processing._results(settings, clips, {}, dying_work)
    ]
    assert sorted(name for name, _ in results) == sorted(names)
    for name, result in results:
        if name.startswith("deadly"):
            assert "crashed" in result and name in result
        else:
            assert result == ([], False)


# ---------------------------------------------------------------------------- the command


def command(folder: Path, *more: str) -> list[str]:
    settings = settings_in(folder).data
    keys = ("video_dir", "audio_dir", "processed_dir", "num_workers")
    overrides = [f"data.{key}={getattr(settings, key)}" for key in keys]
    pairs = [part for override in [*overrides, *more] for part in ("--set", override)]
    return [sys.executable, str(SCRIPT), "--config", str(DEFAULT_CONFIG), *pairs]


def run(folder: Path, *more: str, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(folder, *more), capture_output=True, encoding="utf-8", timeout=120,
        env=os.environ | environment,
    )  # fmt: skip


def test_nothing_to_do_is_one_line(tmp_path):
    (tmp_path / "videos").mkdir()
    done = run(tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no video in") and "Traceback" not in done.stdout


def test_nothing_usable_is_one_line_after_the_reasons(tmp_path):
    touch(tmp_path / "videos" / "bad.mp4")
    done = run(tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr + done.stdout
    assert "bad.mp4" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: no usable clip in")


def test_the_closing_lines_of_the_guide(ran):
    folder, _, _ = ran
    done = run(folder, LIPSYNC_LANG="zh", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "找到 9 个视频文件"
    assert "处理视频: 100%|" in done.stderr and "9/9" in done.stderr
    processed = folder / "processed"
    assert lines[-3:] == [
        "处理完成！共处理 3 个样本",
        f"数据保存在: {processed}",
        f"索引文件: {processed / INDEX_NAME}",
    ]
    assert "未检测到人脸" in done.stdout and "未找到对应的音频文件" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_ctrl_c_loses_nothing_that_was_finished(tmp_path):
    clip, videos = tmp_path / "clip.mp4", tmp_path / "videos"
    make_clip(clip, 3, 0.8)
    videos.mkdir()
    for number in range(30):
        shutil.copy(clip, videos / f"{number:02}.mp4")
    with subprocess.Popen(
        command(tmp_path, "data.num_workers=2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    ) as process_:  # fmt: skip
        samples, deadline = tmp_path / "processed" / "samples", time.monotonic() + 60
        while len(list(samples.glob("[!.]*.npy"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process_.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        began = time.monotonic()
        _, said = process_.communicate(timeout=60)
    assert process_.returncode == 130, said
    assert "Traceback" not in said and said.rstrip().endswith("again to go on")
    assert time.monotonic() - began < 10
    finished = samples_of(tmp_path)
    assert 3 <= len(finished) < 30
    for sample in finished.values():
        assert len(read_sample(tmp_path / "processed" / sample["file"])) == 20
    assert not list(samples.glob(".*")), "nothing half-written stays"

    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(finished)} clips were already done" in done.stdout
    assert len(samples_of(tmp_path)) == 30
