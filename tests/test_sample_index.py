"""The index holds plain builtins and nothing that runs; samples read back as written."""

import os
import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from src.clip_features import TrackFeatures
from src.config import DataConfig
from src.errors import DatasetError, OutputError
from src.sample_index import (
    VERSION,
    file_sha256,
    read_index,
    read_sample,
    sample_settings,
    write_index,
    write_sample,
)


def record(**changes) -> dict:
    return {
        "id": "anna/a.mp4#0", "file": "samples/a-0.npy", "clip": "anna/a.mp4", "speaker": "anna",
        "first_frame": 3, "n_frames": 40, "fps": 29.97, "face_share": 0.8, "speech_share": 0.5,
        "offset_ms": 0.0, "video_sha256": "00", "audio_sha256": "",
    } | changes  # fmt: skip


def track(frames=12, size=48, n_mfcc=13) -> TrackFeatures:
    rng = np.random.default_rng(frames)
    return TrackFeatures(
        3,
        rng.integers(0, 255, (frames, size, size)).astype(np.uint8),
        rng.normal(size=(4 * frames, n_mfcc)).astype(np.float32),
        rng.random(frames) > 0.5,
        np.zeros((frames, 4), np.float32),
    )


# ---------------------------------------------------------------------------- the index


def test_an_index_reads_back(tmp_path):
    path, settings = tmp_path / "dataset_index.pkl", sample_settings(DataConfig())
    write_index(path, settings, [record(), record(id="口播#1")])
    index = read_index(path)
    assert index["version"] == VERSION and index["settings"] == settings
    assert index["samples"] == [record(), record(id="口播#1")]
    assert pickle.loads(path.read_bytes()) == index, "an ordinary pickle of plain builtins"
    assert list(tmp_path.iterdir()) == [path]


class Runs:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def evil(folder) -> dict:
    mark = folder / "it ran"
    command = f"touch '{mark}'"
    return {
        "os.system": Runs(os.system, command),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "exec": Runs(exec, f"open({str(mark)!r}, 'w')"),
        "getattr": Runs(getattr, "text", "upper"),
        "open": Runs(open, str(mark), "w"),
        "path": mark,
        "numpy array": np.zeros(3),
        "numpy number": np.float64(1),
        "type": dict,
        "function": sha256,
        "complex": 1j,
    }


@pytest.mark.parametrize("name", evil(Path()))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_foreign_objects_are_refused_and_nothing_runs(tmp_path, name, protocol):
    path = tmp_path / "index.pkl"
    thing = evil(tmp_path)[name]
    for content in (thing, {"version": VERSION, "settings": {}, "samples": [record(fps=thing)]}):
        path.write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(DatasetError, match=r"index\.pkl") as caught:
            read_index(path)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",
        b"(S'touch ran'\nios\nsystem\n.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x03pwd\x85R.",
        b"\x80\x02Ptouch ran\n.",
        b"\x80\x02\x82\x01.",
        b"}S'__class__'\nS'x'\nsb.",
        b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"(" * 50_000 + b"l" * 50_000 + b".",
        b"",
        b".",
        b"\x80",
        b"not a pickle at all",
    ],
)
def test_hand_written_pickles_are_refused(tmp_path, monkeypatch, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.pkl").write_bytes(code)
    with pytest.raises(DatasetError, match=r"index\.pkl"):
        read_index(tmp_path / "index.pkl")
    assert not (tmp_path / "ran").exists()


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "index.pkl"
    write_index(path, {}, [record(), record()])
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(DatasetError):
            read_index(path)


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({"version": 99, "settings": {}, "samples": []}, "99"),
        ({"settings": {}, "samples": []}, "None"),
        ({"version": VERSION}, "no list of samples"),
        ({"version": VERSION, "samples": {}}, "no list of samples"),
        ([1, 2], "no list of samples"),
        ({"version": VERSION, "samples": [3]}, "incomplete"),
        ({"version": VERSION, "samples": [{}]}, "incomplete"),
        ({"version": VERSION, "samples": [record(n_frames="40")]}, "incomplete"),
        ({"version": VERSION, "samples": [record(file="../outside.npy")]}, "outside"),
        ({"version": VERSION, "samples": [record(file="samples/../../x.npy")]}, "outside"),
        ({"version": VERSION, "samples": [record(file="/etc/passwd")]}, "outside"),
    ],
)
def test_indexes_of_another_kind_are_refused(tmp_path, index, why):
    path = tmp_path / "index.pkl"
    path.write_bytes(pickle.dumps(index))
    with pytest.raises(DatasetError, match=why) as caught:
        read_index(path)
    assert "data_processing.py" in str(caught.value), "says what to do"


def test_a_missing_index_says_what_to_run(tmp_path):
    with pytest.raises(DatasetError, match=r"nothing\.pkl.*data_processing\.py"):
        read_index(tmp_path / "nothing.pkl")
    with pytest.raises(DatasetError, match="cannot read"):
        read_index(tmp_path)


def test_samples_depend_on_these_settings():
    plain = sample_settings(DataConfig())
    for change in ({"input_size": 64}, {"min_score": 0.5}, {"detect_every": 1}, {"n_mfcc": 13}):
        assert sample_settings(DataConfig(**change)) != plain
    assert sample_settings(DataConfig(video_dir="elsewhere", num_workers=3)) == plain


# ---------------------------------------------------------------------------- samples


def test_a_sample_reads_back_as_a_memory_map(tmp_path):
    path, written = tmp_path / "a.npy", track()
    write_sample(path, written)
    records = read_sample(path)
    assert isinstance(records, np.memmap) and not records.flags.writeable
    assert records.shape == (12,)
    assert records["crop"].shape == (12, 48, 48) and records["mfcc"].shape == (12, 4, 13)
    assert np.array_equal(records["crop"], written.crops)
    assert np.array_equal(records["speech"], written.speech)
    for frame in (0, 7, 11):  # steps 4t … 4t+3 lie under frame t
        assert np.array_equal(records["mfcc"][frame], written.mfcc[4 * frame : 4 * frame + 4])
    assert np.array_equal(records["mfcc"][5:10].reshape(20, 13), written.mfcc[20:40])


def test_a_sample_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"gone.a\.npy"):
        write_sample(tmp_path / "gone" / "a.npy", track())


def test_damaged_samples_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    write_sample(path, track())
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[:-1], b"text", b"\x00" * 500):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.npy"):
            read_sample(path)
    np.save(path, np.zeros((3, 4)))
    with pytest.raises(DatasetError, match=r"a\.npy"):
        read_sample(path)
    np.save(path, np.array([Runs(os.system, "touch ran")], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"a\.npy"):
        read_sample(path)
    with open(path, "wb") as file:
        np.savez(file, crop=np.zeros(3))
    with pytest.raises(DatasetError, match=r"a\.npy"):
        read_sample(path)
    with pytest.raises(DatasetError, match=r"b\.npy"):
        read_sample(tmp_path / "b.npy")


def test_sha256_of_a_file(tmp_path):
    content = os.urandom((1 << 20) * 2 + 17)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == sha256(content).hexdigest()
