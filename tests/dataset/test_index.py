"""The index holds plain builtins, runs nothing, and is extended only with the same settings."""

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
    load_index_to_extend,
    read_index,
    remove_unreferenced_samples,
    sample_settings,
    write_index,
)
from tests.support.processing_helpers import contents


def record(**changes) -> dict:
    return {
        "id": "anna/a.mp4#0", "file": "samples/a-0.npy", "clip": "anna/a.mp4", "speaker": "anna",
        "first_frame": 3, "n_frames": 40, "fps": 29.97, "face_share": 0.8, "speech_share": 0.5,
        "faces": 1, "notes": ["a note"], "offset_ms": 0.0, "video_sha256": "00", "audio_sha256": "",
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


class RunsCommand:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def malicious_objects(folder) -> dict:
    mark = folder / "it ran"
    command = f"touch '{mark}'"
    return {
        "os.system": RunsCommand(os.system, command),
        "eval": RunsCommand(eval, f"open({str(mark)!r}, 'w')"),
        "exec": RunsCommand(exec, f"open({str(mark)!r}, 'w')"),
        "getattr": RunsCommand(getattr, "text", "upper"),
        "open": RunsCommand(open, str(mark), "w"),
        "path": mark,
        "numpy array": np.zeros(3),
        "numpy number": np.float64(1),
        "type": dict,
        "function": sha256,
        "complex": 1j,
    }


@pytest.mark.parametrize("name", malicious_objects(Path()))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_other_objects_are_rejected_and_nothing_runs(tmp_path, name, protocol):
    path = tmp_path / "index.pkl"
    value = malicious_objects(tmp_path)[name]
    for payload in (value, {"version": VERSION, "settings": {}, "samples": [record(fps=value)]}):
        path.write_bytes(pickle.dumps(payload, protocol))
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
def test_hand_written_pickles_are_rejected(tmp_path, monkeypatch, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.pkl").write_bytes(code)
    with pytest.raises(DatasetError, match=r"index\.pkl"):
        read_index(tmp_path / "index.pkl")
    assert not (tmp_path / "ran").exists()


def test_every_truncation_is_rejected(tmp_path):
    path = tmp_path / "index.pkl"
    write_index(path, {}, [record(), record()])
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(DatasetError):
            read_index(path)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"version": 99, "settings": {}, "samples": []}, "99"),
        ({"version": 1, "settings": {}, "samples": [record()]}, "version 1, not 2"),
        ({"settings": {}, "samples": []}, "None"),
        ({"version": VERSION, "samples": []}, "no settings"),
        ({"version": VERSION, "samples": [], "settings": None}, "no settings"),
        ({"version": VERSION}, "no list of samples"),
        ({"version": VERSION, "samples": {}}, "no list of samples"),
        ([1, 2], "no list of samples"),
        ({"version": VERSION, "settings": {}, "samples": [3]}, "incomplete"),
        ({"version": VERSION, "settings": {}, "samples": [{}]}, "incomplete"),
        ({"version": VERSION, "settings": {}, "samples": [record(n_frames="40")]}, "incomplete"),
        (
            {"version": VERSION, "settings": {}, "samples": [record(file="../outside.npy")]},
            "outside",
        ),
        (
            {"version": VERSION, "settings": {}, "samples": [record(file="samples/../../x.npy")]},
            "outside",
        ),
        (
            {
                "version": VERSION,
                "settings": {},
                "samples": [record(file="a/b/../../../processed/x")],
            },
            "outside",
        ),
        ({"version": VERSION, "settings": {}, "samples": [record(file="/etc/passwd")]}, "outside"),
    ],
)
def test_invalid_indexes_are_rejected(tmp_path, index, reason):
    path = tmp_path / "index.pkl"
    path.write_bytes(pickle.dumps(index))
    with pytest.raises(DatasetError, match=reason) as caught:
        read_index(path)
    assert "data_processing.py" in str(caught.value), "says what to do"


NAN = float("nan")


@pytest.mark.parametrize(("name", "value", "shown"), [
    ("offset_ms", NAN, "nan"), ("offset_ms", float("inf"), "inf"), ("offset_ms", -1e6, "-1000000"),
    ("offset_ms", 10**30, "1e.30"), ("offset_ms", "12", "12"), ("n_frames", 10**30, "1e.30"),
    ("n_frames", -3, "-3"), ("first_frame", NAN, "nan"), ("first_frame", 10**400, "1e.400"),
    ("fps", NAN, "nan"), ("face_share", None, "None"), ("notes", "text", "text"),
    ("notes", [1], "1"), ("offset_known", "no", "no"), ("video_sha256", [], "\\[\\]"),
    ("file", "samples/a\0.npy", r"\\x00"), ("file", "samples/" + "é" * 200 + ".npy", "éé"),
])  # fmt: skip
def test_values_that_no_sample_has_are_rejected_by_name(tmp_path, name, value, shown):
    path = tmp_path / "index.pkl"
    write_index(path, {}, [record(**{name: value})])
    with pytest.raises(
        DatasetError, match=rf"index\.pkl .*{name} of the sample anna/a\.mp4#0 is .*{shown}"
    ):
        read_index(path)


def test_an_index_that_contains_itself_is_rejected_at_once(tmp_path):
    """A small file that stands for 2 ** 60 lists."""
    value: list = []
    for _ in range(60):
        value = [value, value]
    cyclic: dict = {"version": VERSION, "settings": {}, "samples": [record(id="a", notes=value)]}
    for index in (cyclic, cyclic | {"version": value}, cyclic | {"samples": [record(file=value)]},
                  cyclic | {"samples": [record(fps=value)]}):  # fmt: skip
        path = tmp_path / "index.pkl"
        path.write_bytes(pickle.dumps(index))
        assert path.stat().st_size < 2000
        with pytest.raises(DatasetError) as caught:
            read_index(path)
        assert len(str(caught.value)) < 1000
    write_index(path, {"input_size": value}, [])
    with pytest.raises(DatasetError) as caught:
        load_index_to_extend(path, sample_settings(DataConfig()))
    assert len(str(caught.value)) < 1000


def test_samples_may_lie_on_another_disk(tmp_path):
    """The folder may be a link: only names are checked for leading out of it."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "processed").mkdir()
    os.symlink(tmp_path / "disk", tmp_path / "processed" / "samples")
    path = write_clip_index(
        tmp_path / "processed", INDEX_NAME, "samples/a.npy", "samples/./b/../c.npy"
    )
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
    independent = {
        "video_dir", "audio_dir", "processed_dir", "num_workers", "clip_timeout_s", "format",
        "shards", "shard_mb", "skip_damaged", "verify_shards",
    }  # fmt: skip
    assert set(DataConfig.model_fields) - set(plain) == independent, (
        "a new setting belongs to one of both"
    )


# ---------------------------------------------------------------------------- extending one


def write_clip_index(folder: Path, name: str, *files: str, **settings) -> Path:
    """Write an index whose samples exist, one clip per file."""
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True, parents=True)
        (folder / file).write_text(file)
    records = [record(file=file, clip=f"{Path(file).stem}.mp4") for file in files]
    settings = sample_settings(DataConfig(**settings))
    write_index(folder / name, settings, records)
    return folder / name


def test_records_of_an_index_to_extend_are_grouped_by_clip(tmp_path):
    settings = sample_settings(DataConfig())
    path = tmp_path / INDEX_NAME
    assert load_index_to_extend(path, settings) == {}
    records = [record(id="anna/a.mp4#0"), record(id="anna/a.mp4#1")]
    write_index(path, settings, [*records, record(clip="b.mp4")])
    expected = {"anna/a.mp4": records, "b.mp4": [record(clip="b.mp4")]}
    assert load_index_to_extend(path, settings) == expected


@pytest.mark.parametrize(
    ("name", "made", "value"),
    [("input_size", 96, 48), ("n_mfcc", 40, 13), ("detector", "retinaface", "face_alignment"),
     ("track", "largest", "longest"), ("max_lost_frames", 10, 0)],
)  # fmt: skip
def test_other_settings_are_rejected_by_name(tmp_path, name, made, value):
    path = write_clip_index(tmp_path, INDEX_NAME, "samples/a.npy")
    before = contents(tmp_path)
    message = (
        rf"dataset_index\.pkl was made with data\.{name} = {made}, the settings say {value}: "
        r"choose another data\.processed_dir, or start over with --overwrite$"
    )
    with pytest.raises(DatasetError, match=message) as caught:
        load_index_to_extend(path, sample_settings(DataConfig(**{name: value})))
    assert "\n" not in str(caught.value) and contents(tmp_path) == before


def test_settings_that_an_old_index_lacks_are_rejected(tmp_path):
    settings = sample_settings(DataConfig())
    del settings["max_faces"]
    write_index(tmp_path / INDEX_NAME, settings, [record()])
    with pytest.raises(DatasetError, match=r"data\.max_faces = None, the settings say 4"):
        load_index_to_extend(tmp_path / INDEX_NAME, sample_settings(DataConfig()))


def test_overwrite_empties_an_index_of_other_settings(tmp_path, caplog):
    path = write_clip_index(tmp_path, INDEX_NAME, "samples/a.npy", "samples/b.npy")
    write_clip_index(tmp_path, "dataset_index.shard-0-of-1.pkl", "samples/b.npy", "samples/c.npy")
    caplog.set_level("INFO")
    other = sample_settings(DataConfig(input_size=48))
    assert load_index_to_extend(path, other, overwrite=True) == {}
    assert read_index(path) == {"version": VERSION, "settings": other, "samples": []}
    message = "the settings have changed since the last run: processing all clips again"
    assert caplog.messages == [message]
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert names == {"b.npy", "c.npy"}, "another index lists these"


def test_overwrite_keeps_an_index_of_the_same_settings(tmp_path):
    path = write_clip_index(tmp_path, INDEX_NAME, "samples/a.npy")
    before = contents(tmp_path)
    known = load_index_to_extend(path, sample_settings(DataConfig()), overwrite=True)
    assert list(known) == ["a.mp4"] and contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"cos\nsystem\n(S'touch ran'\ntR.", b"old"])
def test_a_damaged_index_is_rebuilt(tmp_path, caplog, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    (tmp_path / INDEX_NAME).write_bytes(content)
    assert load_index_to_extend(tmp_path / INDEX_NAME, {}) == {}
    (message,) = caplog.messages
    assert message.startswith(f"rebuilding the index: {tmp_path / INDEX_NAME} is not a valid index")
    assert not (tmp_path / "ran").exists()


def test_an_index_that_is_temporarily_unreadable_is_not_rebuilt(tmp_path):
    """A network share that is offline for a moment must not cost a week's work."""
    (tmp_path / INDEX_NAME).mkdir()
    with pytest.raises(DatasetError, match=r"cannot read .*dataset_index\.pkl"):
        load_index_to_extend(tmp_path / INDEX_NAME, {})


def test_files_of_unreferenced_samples_are_removed(tmp_path):
    write_clip_index(tmp_path, INDEX_NAME, "samples/a.npy", "samples/b.npy", "samples/c.npy")
    old_records = {
        "a.mp4": [record(file=f"samples/{name}.npy") for name in "abc"],
        "gone.mp4": [record()],
    }
    samples = [record(file="samples/b.npy")]
    write_index(tmp_path / INDEX_NAME, {}, samples)
    write_clip_index(tmp_path, "dataset_index.shard-1-of-2.pkl", "samples/c.npy")
    remove_unreferenced_samples(tmp_path, old_records, samples)
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"b.npy", "c.npy"}

    write_index(tmp_path / INDEX_NAME, {}, [])
    (tmp_path / "dataset_index.shard-0-of-2.pkl").write_text("not an index")
    remove_unreferenced_samples(tmp_path, old_records, [])
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"b.npy", "c.npy"}


def test_only_samples_are_removed(tmp_path):
    """An index that came from elsewhere may name any file of the folder."""
    mine = ["notes.txt", "samples/notes.txt", "samples/deeper/x.npy", "other.npy", INDEX_NAME]
    write_clip_index(tmp_path, "an index from elsewhere", *mine, "samples/a.npy")
    write_index(tmp_path / INDEX_NAME, {}, [])
    remove_unreferenced_samples(
        tmp_path, {"a.mp4": [record(file=name) for name in [*mine, "samples/a.npy"]]}, []
    )
    assert all((tmp_path / name).is_file() for name in mine)
    assert not (tmp_path / "samples" / "a.npy").exists()


def test_sha256_of_a_file(tmp_path):
    content = os.urandom((1 << 20) * 2 + 17)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == sha256(content).hexdigest()
