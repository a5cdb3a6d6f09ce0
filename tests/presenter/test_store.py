"""A presenter on disk: what is written is read, and damage is one line."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import LipSyncError, MissingFileError, OutputError, PresenterError
from src.presenter.store import (
    Consent,
    FootageClip,
    ModelRecord,
    PresenterRecord,
    clip_folder_name,
    clip_written,
    load_presenter,
    read_clip_record,
    read_presenter_record,
    write_clip_record,
    write_presenter_record,
)
from tests.support.made_presenters import SHA256, clip_record, footage_clip

RECORD = PresenterRecord(
    model=ModelRecord(file="model.pth", sha256=SHA256),
    consent=Consent(text="It is me — 是我", confirmed_at="2026-01-02T03:04:05Z", how="asked"),
)


def write_clip(folder: Path, name: str, clip: FootageClip) -> Path:
    with clip_written(folder, name) as temporary:
        for part in ("grid", "frames", "crops", "audio", "base"):
            np.save(temporary / f"{part}.npy", getattr(clip, part), allow_pickle=False)
        write_clip_record(temporary, clip.record)
    return folder / "clips" / name


@pytest.fixture
def folder(tmp_path) -> Path:
    """A presenter with two clips."""
    folder = tmp_path / "presenters" / "me"
    write_presenter_record(folder, RECORD)
    write_clip(folder, "b", footage_clip(((0.0, 1.0),), seed=2, name="b.mp4", offset_ms=None))
    write_clip(folder, "a", footage_clip(((0.0, 1.0), (2.0, 3.0)), seed=1, name="a.mp4"))
    return folder


def error_of(folder: Path) -> str:
    """The message when a presenter is loaded; one line that says which one."""
    with pytest.raises(PresenterError) as error:
        load_presenter(folder)
    message = str(error.value)
    assert "\n" not in message and str(folder) in message and "learn_presenter.py" in message
    return message


# ---------------------------------------------------------------------------- round trip


def test_what_is_written_is_read(folder):
    presenter = load_presenter(folder)
    assert presenter.name == "me" and presenter.record == RECORD
    assert [clip.record.name for clip in presenter.clips] == ["a.mp4", "b.mp4"], "sorted"
    first = footage_clip(((0.0, 1.0), (2.0, 3.0)), seed=1, name="a.mp4")
    assert presenter.clips[0].record == first.record
    for part in ("grid", "frames", "crops", "audio", "base"):
        loaded, made = getattr(presenter.clips[0], part), getattr(first, part)
        assert loaded.dtype == made.dtype and np.array_equal(loaded, made)
    assert presenter.clips[1].record.offset_ms is None
    assert read_clip_record(folder / "clips" / "a") == first.record


def test_crops_stay_on_disk(folder):
    for clip in load_presenter(folder).clips:
        assert isinstance(clip.crops, np.memmap) and not clip.crops.flags.writeable
        assert not isinstance(clip.grid, np.memmap), "these are used all the time"


def test_records_are_plain_json(folder):
    for path in (folder / "presenter.json", folder / "clips" / "a" / "clip.json"):
        json.loads(path.read_text(encoding="utf-8"))
    assert "是我" in (folder / "presenter.json").read_text(encoding="utf-8")


def test_names_of_files_need_not_be_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    write_clip_record(tmp_path, clip_record(name=name, path=f"/footage/{name}"))
    record = read_clip_record(tmp_path)
    assert (record.name, record.path) == (name, f"/footage/{name}")


def test_the_record_of_a_presenter_is_replaced_as_a_whole(folder, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError):
        write_presenter_record(folder, RECORD.model_copy(update={"consent": None}))
    monkeypatch.undo()
    assert read_presenter_record(folder) == RECORD
    assert sorted(path.name for path in folder.iterdir()) == ["clips", "presenter.json"]


def test_the_same_file_always_has_the_same_folder():
    first = clip_folder_name(Path("a/My film (1).mp4"), "0123456789abcdef", "speaking")
    assert first == clip_folder_name(Path("b/My film (1).mov"), "0123456789abcdef", "speaking")
    assert first == "My_film__1_-0123456789ab"
    others = {
        clip_folder_name(Path("a/My film (1).mp4"), "f" * 64, "speaking"),
        clip_folder_name(Path("a/My film (1).mp4"), "0123456789abcdef", "largest"),
        clip_folder_name(Path("a/My film (1).mp4"), "0123456789abcdef", "2"),
    }
    assert len(others | {first}) == 4
    for odd in ("../..", ".hidden", "a" * 300, "影片", "a:b*c?"):
        name = clip_folder_name(Path(f"{odd}.mp4"), "f" * 64, "speaking")
        assert not set(name) & set('/\\:*?"<>|.') and 12 < len(name) < 80


# ---------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_clip_leaves_nothing(folder, interruption):
    with pytest.raises(interruption), clip_written(folder, "c") as temporary:
        np.save(temporary / "grid.npy", np.zeros(3))
        raise interruption
    assert sorted(path.name for path in (folder / "clips").iterdir()) == ["a", "b"]


def test_what_a_killed_process_leaves_is_not_read(folder):
    half = folder / "clips" / ".c-123"
    half.mkdir()
    (half / "clip.json").write_text("{")
    assert len(load_presenter(folder).clips) == 2


def test_a_clip_that_is_made_again_replaces_the_old_one(folder):
    write_clip(folder, "a", footage_clip(((0.0, 2.0),), seed=9, name="again.mp4"))
    first = load_presenter(folder).clips[0]
    assert first.record.name == "again.mp4" and len(first.grid) == 50


def test_a_full_disk_is_one_line(folder):
    with pytest.raises(OutputError) as error, clip_written(folder, "c"):
        raise OSError(28, "No space left on device")
    assert "No space left" in str(error.value) and "\n" not in str(error.value)
    assert not list((folder / "clips").glob("*c*"))


# ---------------------------------------------------------------------------- damage


def test_a_folder_that_is_no_presenter(tmp_path):
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(MissingFileError) as error:
            load_presenter(folder)
        assert "is not a presenter" in str(error.value) and "\n" not in str(error.value)


def test_a_file_is_no_presenter(tmp_path):
    """A video, for example, given instead of the folder."""
    path = tmp_path / "me.mp4"
    path.write_bytes(b"video")
    with pytest.raises(MissingFileError) as error:
        load_presenter(path)
    assert "is not a presenter" in str(error.value) and "\n" not in str(error.value)


def test_a_presenter_without_clips(folder):
    for path in (folder / "clips").iterdir():
        path.rename(folder / path.name)
    assert "no usable footage" in error_of(folder)
    (folder / "clips").rmdir()
    assert "no usable footage" in error_of(folder)


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b"{}" * 1000,
    b'{"format": "other"}',
    b'{"format": "lipsync-presenter", "version": 4, "model": {"file": "a", "sha256": "b"}}',
    b'{"model": {"file": "a", "sha256": "b"}, "more": 1}', b'{"version": ' + b"1" * 5000 + b"}",
])  # fmt: skip
def test_a_damaged_presenter_record(folder, text):
    (folder / "presenter.json").write_bytes(text)
    assert "damaged" in error_of(folder)


@pytest.mark.parametrize("change", [
    {"fps": 0}, {"fps": "fast"}, {"crop_side": -4}, {"name": None}, {"unknown": 1},
    {"offset_ms": float("nan")}, {"speech_s": float("inf")}, {"blurred_share": float("nan")},
])  # fmt: skip
def test_a_damaged_clip_record(folder, change):
    path = folder / "clips" / "a" / "clip.json"
    path.write_text(json.dumps(clip_record().model_dump() | change))
    assert "damaged" in error_of(folder)


def test_a_clip_without_its_record(folder):
    (folder / "clips" / "a" / "clip.json").unlink()
    with pytest.raises(LipSyncError) as error:
        load_presenter(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["grid", "frames", "crops", "audio", "base"])
@pytest.mark.parametrize("damage", [
    "missing", "empty", "text", "short", "cut", "other type", "other shape", "header",
])  # fmt: skip
def test_a_damaged_array(folder, name, damage):
    path = folder / "clips" / "a" / f"{name}.npy"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other type":
        np.save(path, np.zeros(50))
    elif damage == "other shape":
        np.save(path, np.load(path)[..., None])
    else:
        path.write_bytes({
            "empty": b"", "text": b"not an array\n" * 99, "short": data[:40],
            "cut": data[: len(data) * 2 // 3], "header": data[:20] + b"\n\n{" + data[23:],
        }[damage])  # fmt: skip
    assert "damaged" in error_of(folder)


@pytest.mark.parametrize(("name", "field"), [
    ("grid", "opening"), ("grid", "pose"), ("grid", "embedding"), ("grid", "time"),
    ("frames", "jaw"), ("frames", "lips"), ("frames", "time"), ("base", "to_frame"),
])  # fmt: skip
def test_values_that_are_no_numbers(folder, name, field):
    path = folder / "clips" / "b" / f"{name}.npy"
    records = np.load(path)
    records[field][3] = np.nan
    np.save(path, records)
    assert "not finite" in error_of(folder)


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_times_of_a_base_that_do_not_rise(folder, value):
    path = folder / "clips" / "b" / "base.npy"
    records = np.load(path)
    records["has_face"] = False
    records["time"][3] = value
    np.save(path, records)
    assert "base: other times" in error_of(folder)


def test_audio_that_is_no_numbers(folder):
    path = folder / "clips" / "b" / "audio.npy"
    audio = np.load(path)
    audio[3] = np.inf
    np.save(path, audio)
    assert "not finite" in error_of(folder)


@pytest.mark.parametrize("version", [1, 2])
def test_a_presenter_of_an_earlier_version_is_made_again(folder, version):
    path = folder / "presenter.json"
    path.write_text(path.read_text().replace('"version": 3', f'"version": {version}'))
    message = error_of(folder)
    assert "earlier version" in message and "learn_presenter.py" in message


def test_grid_and_frames_of_different_footage(folder):
    path = folder / "clips" / "a" / "frames.npy"
    frames = np.load(path)
    frames["run"] = 0
    np.save(path, frames)
    assert "other runs" in error_of(folder)


def test_a_clip_without_frames(folder):
    path = folder / "clips" / "a"
    np.save(path / "frames.npy", np.load(path / "frames.npy")[:0])
    np.save(path / "crops.npy", np.load(path / "crops.npy")[:0])
    assert "damaged" in error_of(folder)


class _Evil:
    """Runs something where it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", ["grid", "frames", "crops"])
@pytest.mark.parametrize("kind", ["pickle", "array of objects"])
def test_nothing_in_a_presenter_can_run(folder, tmp_path, name, kind):
    marker, path = tmp_path / "ran", folder / "clips" / "a" / f"{name}.npy"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(_Evil(marker)))
    else:
        np.save(path, np.array([_Evil(marker)], object), allow_pickle=True)
    error_of(folder)
    assert not marker.exists()
