"""The index holds plain builtins and nothing that runs, and is only extended by its like."""

import os
import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from src.core.config import DataConfig
from src.core.errors import DatasetError
from src.core.files import file_sha256
from src.dataset.index import (
    INDEX_NAME,
    VERSION,
    index_for,
    read_index,
    remove_replaced,
    sample_settings,
    write_index,
)
from tests.support.processing_helpers import contents


def record(**changes) -> dict:
    return {
        "id": "anna/a.mp4#0", "file": "samples/a-0.npy", "clip": "anna/a.mp4", "speaker": "anna",
        "first_frame": 3, "n_frames": 40, "fps": 29.97, "face_share": 0.8, "speech_share": 0.5,
        "faces": 1, "notes": ["told"], "offset_ms": 0.0, "video_sha256": "00", "audio_sha256": "",
    } | changes  # fmt: skip


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
        ({"version": 1, "settings": {}, "samples": [record()]}, "version 1, not 2"),
        ({"settings": {}, "samples": []}, "None"),
        ({"version": VERSION}, "no list of samples"),
        ({"version": VERSION, "samples": {}}, "no list of samples"),
        ([1, 2], "no list of samples"),
        ({"version": VERSION, "samples": [3]}, "incomplete"),
        ({"version": VERSION, "samples": [{}]}, "incomplete"),
        ({"version": VERSION, "samples": [record(n_frames="40")]}, "incomplete"),
        ({"version": VERSION, "samples": [record(file="../outside.npy")]}, "outside"),
        ({"version": VERSION, "samples": [record(file="samples/../../x.npy")]}, "outside"),
        ({"version": VERSION, "samples": [record(file="a/b/../../../processed/x")]}, "outside"),
        ({"version": VERSION, "samples": [record(file="/etc/passwd")]}, "outside"),
    ],
)
def test_indexes_of_another_kind_are_refused(tmp_path, index, why):
    path = tmp_path / "index.pkl"
    path.write_bytes(pickle.dumps(index))
    with pytest.raises(DatasetError, match=why) as caught:
        read_index(path)
    assert "data_processing.py" in str(caught.value), "says what to do"


def test_samples_may_lie_on_another_disk(tmp_path):
    """The folder may be a link: only names are asked whether they lead out of it."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "processed").mkdir()
    os.symlink(tmp_path / "disk", tmp_path / "processed" / "samples")
    path = written(tmp_path / "processed", INDEX_NAME, "samples/a.npy", "samples/./b/../c.npy")
    assert len(read_index(path)["samples"]) == 2


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
    free = {"video_dir", "audio_dir", "processed_dir", "num_workers"}
    assert set(DataConfig.model_fields) - set(plain) == free, "a new setting belongs to one of them"


# ---------------------------------------------------------------------------- extending one


def written(folder: Path, name: str, *files: str, **settings) -> Path:
    """An index whose samples exist, one clip a file."""
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True, parents=True)
        (folder / file).write_text(file)
    records = [record(file=file, clip=f"{Path(file).stem}.mp4") for file in files]
    settings = sample_settings(DataConfig(**settings))
    write_index(folder / name, settings, records)
    return folder / name


def test_records_of_an_index_that_is_extended(tmp_path):
    settings = sample_settings(DataConfig())
    path = tmp_path / INDEX_NAME
    assert index_for(path, settings) == {}
    two = [record(id="anna/a.mp4#0"), record(id="anna/a.mp4#1")]
    write_index(path, settings, [*two, record(clip="b.mp4")])
    assert index_for(path, settings) == {"anna/a.mp4": two, "b.mp4": [record(clip="b.mp4")]}


@pytest.mark.parametrize(
    ("name", "made", "value"),
    [("input_size", 96, 48), ("n_mfcc", 40, 13), ("detector", "retinaface", "face_alignment"),
     ("track", "largest", "longest"), ("max_lost_frames", 10, 0)],
)  # fmt: skip
def test_other_settings_are_refused_by_name(tmp_path, name, made, value):
    path = written(tmp_path, INDEX_NAME, "samples/a.npy")
    before = contents(tmp_path)
    words = (
        rf"dataset_index\.pkl was made with data\.{name} = {made}, .* say {value}: .*--overwrite"
    )
    with pytest.raises(DatasetError, match=words) as caught:
        index_for(path, sample_settings(DataConfig(**{name: value})))
    assert "\n" not in str(caught.value) and contents(tmp_path) == before


def test_settings_an_old_index_does_not_know_are_refused(tmp_path):
    settings = sample_settings(DataConfig())
    del settings["max_faces"]
    write_index(tmp_path / INDEX_NAME, settings, [record()])
    with pytest.raises(DatasetError, match=r"data\.max_faces = None, the settings say 4"):
        index_for(tmp_path / INDEX_NAME, sample_settings(DataConfig()))


def test_overwrite_empties_an_index_of_other_settings(tmp_path, capsys):
    path = written(tmp_path, INDEX_NAME, "samples/a.npy", "samples/b.npy")
    written(tmp_path, "dataset_index.shard-0-of-1.pkl", "samples/b.npy", "samples/c.npy")
    other = sample_settings(DataConfig(input_size=48))
    assert index_for(path, other, overwrite=True) == {}
    assert read_index(path) == {"version": VERSION, "settings": other, "samples": []}
    assert "anew" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert names == {"b.npy", "c.npy"}, "another index names these"


def test_overwrite_keeps_an_index_of_the_same_settings(tmp_path):
    path = written(tmp_path, INDEX_NAME, "samples/a.npy")
    before = contents(tmp_path)
    known = index_for(path, sample_settings(DataConfig()), overwrite=True)
    assert list(known) == ["a.mp4"] and contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"cos\nsystem\n(S'touch ran'\ntR.", b"old"])
def test_a_damaged_index_is_made_anew(tmp_path, capsys, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / INDEX_NAME).write_bytes(content)
    assert index_for(tmp_path / INDEX_NAME, {}) == {}
    assert "made anew" in capsys.readouterr().out and not (tmp_path / "ran").exists()


def test_an_index_that_cannot_be_read_for_now_is_not_made_anew(tmp_path):
    """A share that is away for a moment must not cost a week's work."""
    (tmp_path / INDEX_NAME).mkdir()
    with pytest.raises(DatasetError, match=r"cannot read .*dataset_index\.pkl"):
        index_for(tmp_path / INDEX_NAME, {})


def test_files_of_replaced_samples_are_removed(tmp_path):
    written(tmp_path, INDEX_NAME, "samples/a.npy", "samples/b.npy", "samples/c.npy")
    old = {"a.mp4": [record(file=f"samples/{name}.npy") for name in "abc"], "gone.mp4": [record()]}
    new = [record(file="samples/b.npy")]
    write_index(tmp_path / INDEX_NAME, {}, new)
    written(tmp_path, "dataset_index.shard-1-of-2.pkl", "samples/c.npy")
    remove_replaced(tmp_path, old, new)
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"b.npy", "c.npy"}

    write_index(tmp_path / INDEX_NAME, {}, [])
    (tmp_path / "dataset_index.shard-0-of-2.pkl").write_text("who knows what it names")
    remove_replaced(tmp_path, old, [])
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"b.npy", "c.npy"}


def test_sha256_of_a_file(tmp_path):
    content = os.urandom((1 << 20) * 2 + 17)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == sha256(content).hexdigest()
