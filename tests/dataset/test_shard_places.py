"""Samples go straight into shards, and nothing is lost where a store refuses them."""

import json
from pathlib import Path

import pytest

from src.core import storage
from src.core.errors import OutputError
from src.dataset import build, tar_shards
from src.dataset.contact_sheet import draw_contact_sheet
from src.dataset.index import INDEX_NAME, UNPACKED_FOLDER, read_index
from src.dataset.samples import load_samples
from src.dataset.shards import shard_index_name
from src.dataset.tar_shards import SHARD_INDEX
from tests.support.object_store import CREDENTIALS, object_store
from tests.support.processing_helpers import (
    contents,
    process_folder,
    run_in_process,
    settings_in,
    write_variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)
pytestmark = pytest.mark.usefixtures("in_process")

N_CLIPS = 5
SHARDED = {"format": "shards", "shard_mb": 0.3}  # one sample has 0.2 MB


@pytest.fixture
def clips(tmp_path, short_clip, monkeypatch) -> Path:
    monkeypatch.setattr(tar_shards, "REST", 0)
    for number in range(N_CLIPS):
        write_variant(short_clip, tmp_path / "videos" / f"{number}.mp4", number)
    return tmp_path


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def assert_as_in_files(folder: Path, **changes) -> None:
    """The samples are those of single files, and are kept once."""
    process_folder(folder, processed_dir=folder / "single")
    assert read_index(folder / "processed" / INDEX_NAME) == read_index(
        folder / "single" / INDEX_NAME
    )
    config = settings_in(folder, **(SHARDED | changes))
    single = load_samples(folder / "single" / INDEX_NAME, settings_in(folder).data)
    packed = load_samples(folder / "processed" / INDEX_NAME, config.data)
    assert [sample.id for sample in packed] == [sample.id for sample in single] != []
    for one, other in zip(packed, single, strict=True):
        assert all((a == b).all() for a, b in zip(one.read(), other.read(), strict=True))
    for name in (UNPACKED_FOLDER, "samples"):
        assert files_in(folder / "processed" / name) == set()


@pytest.mark.parametrize(("rest", "expected"), [(0, [2, 2, 1]), (1e9, [2, 3, 3])])
def test_samples_are_kept_in_shards_alone(clips, monkeypatch, rest, expected):
    """One shard's samples wait as files meanwhile, or more where packing takes long."""
    monkeypatch.setattr(tar_shards, "REST", rest)
    waiting, pack = [], tar_shards._write_shard

    def watched(folder, *arguments):
        waiting.append(len(files_in(folder / UNPACKED_FOLDER)))
        return pack(folder, *arguments)

    monkeypatch.setattr(tar_shards, "_write_shard", watched)
    report = process_folder(clips, **SHARDED)
    assert waiting == expected and report.n_packed == N_CLIPS
    assert files_in(clips / "processed" / "shards") == {
        SHARD_INDEX, *(f"shard-{number:06}.tar" for number in range(3)),
    }  # fmt: skip
    assert_as_in_files(clips)


def test_what_is_in_a_shard_is_not_processed_again(clips, monkeypatch):
    process_folder(clips, **SHARDED)
    before = contents(clips / "processed" / "shards")
    again = process_folder(clips, **SHARDED)
    assert again.n_reused == N_CLIPS and again.n_packed == 0
    assert contents(clips / "processed" / "shards") == before
    (clips / "processed" / "shards" / "shard-000001.tar").unlink()
    repaired = process_folder(clips, **SHARDED)
    assert repaired.n_reused == N_CLIPS - 2 and repaired.n_packed == 2
    assert_as_in_files(clips)


def test_a_run_that_is_interrupted_goes_on(clips, monkeypatch):
    """Finished samples that wait for their shard are kept."""
    n_done, process_clip = 0, build.process_clip

    def interrupted(settings, job):
        nonlocal n_done
        if n_done == 3:
            raise KeyboardInterrupt
        n_done += 1
        return process_clip(settings, job)

    monkeypatch.setattr(build, "process_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process_folder(clips, **SHARDED)
    assert len(files_in(clips / "processed" / UNPACKED_FOLDER)) == 1
    index = json.loads((clips / "processed" / "shards" / SHARD_INDEX).read_text())
    assert len(index["samples"]) == 2 and len(index["shards"]) == 1
    monkeypatch.setattr(build, "process_clip", process_clip)
    report = process_folder(clips, **SHARDED)
    assert report.n_reused == 3 and report.n_packed == 3
    assert_as_in_files(clips)


def test_the_contact_sheet_shows_what_is_in_shards(clips):
    process_folder(clips)
    process_folder(clips, processed_dir=clips / "packed", **SHARDED)
    draw_contact_sheet(clips / "processed" / INDEX_NAME, clips / "files.png")
    place = str(clips / "packed" / "shards")
    assert draw_contact_sheet(clips / "packed" / INDEX_NAME, clips / "shards.png", place) == (5, 5)
    assert (clips / "files.png").read_bytes() == (clips / "shards.png").read_bytes()


def test_samples_that_are_gone_are_counted(clips, capsys):
    process_folder(clips, **SHARDED)
    (clips / "processed" / "shards" / "shard-000000.tar").unlink()
    (clips / "videos" / "0.mp4").unlink()
    report = process_folder(clips, **SHARDED)
    assert report.n_packed == 1 and report.n_reused == 3 and report.n_missing == 1
    assert "1 sample of the index is in no shard that is whole" in capsys.readouterr().err
    config = settings_in(clips, **SHARDED)
    samples = load_samples(clips / "processed" / INDEX_NAME, config.data)
    assert [sample.clip for sample in samples] == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]
    assert process_folder(clips, INDEX_NAME, False, True, **SHARDED).n_packed == 0


def test_single_files_of_an_earlier_run_stay(clips):
    """A training may use them; they are packed all the same, not processed again."""
    process_folder(clips)
    before = contents(clips / "processed" / "samples")
    report = process_folder(clips, **SHARDED)
    assert report.n_reused == report.n_packed == N_CLIPS
    assert contents(clips / "processed" / "samples") == before
    assert files_in(clips / "processed" / UNPACKED_FOLDER) == set()


def test_a_part_of_the_clips_stays_in_files_until_all_are_merged(clips):
    process_folder(clips, shard_index_name(0, 1), **SHARDED)
    assert len(files_in(clips / "processed" / "samples")) == N_CLIPS
    assert not (clips / "processed" / "shards").exists()


def test_a_place_that_cannot_be_written_ends_the_run_before_the_work(clips, monkeypatch):
    (clips / "file").touch()
    monkeypatch.setattr(build, "process_clip", lambda *_: pytest.fail("before the work"))
    with pytest.raises(OutputError, match="cannot"):
        process_folder(clips, shards=clips / "file" / "shards", **SHARDED)


# ---------------------------------------------------------------------------- an object store


@pytest.fixture
def store(monkeypatch):
    """An S3 server with a bucket ``samples``."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.01)
    with object_store("samples") as (address, store):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (("403 Forbidden", "AccessDenied"), "no permission: check your credentials"),
        (("403 Forbidden", "RequestTimeTooSkewed"), "the clock of this machine is wrong: set it"),
        (("507 Insufficient Storage", "XMinioStorageFull"), "it is full: free some space"),
    ],
)
def test_a_store_that_refuses_is_one_line_and_nothing_is_lost(
    clips, store, monkeypatch, capsys, refusal, says
):
    """At once, or in the middle: after the first shard, what is done waits in files."""
    options = SHARDED | {"shards": "s3://samples/some/folder"}
    store.refusal = refusal
    status, _, err = run_in_process(monkeypatch, capsys, clips, **options)
    line = err.splitlines()[-1]
    assert status == 2 and line.startswith("error: cannot write s3://samples/some/folder")
    assert says in line and "Traceback" not in err
    assert not (clips / "processed" / INDEX_NAME).exists(), "before the work"
    store.refusal, written = None, []
    write = tar_shards.write

    def refuse_later(place, content):
        store.refusal = refusal if len(written) == 2 else None  # a shard and the index
        write(place, content)
        written.append(place)

    monkeypatch.setattr(tar_shards, "write", refuse_later)
    status, _, err = run_in_process(monkeypatch, capsys, clips, **options)
    assert status == 2 and says in err.splitlines()[-1]
    assert len(files_in(clips / "processed" / UNPACKED_FOLDER)) == 2
    store.refusal = None
    monkeypatch.setattr(tar_shards, "write", write)
    status, out, err = run_in_process(monkeypatch, capsys, clips, **options)
    assert status == 0 and "4 clips were already done" in out, err
    assert_as_in_files(clips, shards="s3://samples/some/folder")
