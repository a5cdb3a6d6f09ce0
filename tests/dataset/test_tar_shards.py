"""Shards hold what single files do, anywhere: the same batches, in the same order."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from src.core import storage
from src.core.config import Config, load_config
from src.core.errors import ConfigError, DatasetError, OutputError, StorageError
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.dataset.samples import load_samples
from src.dataset.tar_shards import SHARD_INDEX, publish_samples, write_files, write_shards
from src.training.batches import Batch, SegmentSampler
from tests.support.dataset_helpers import numbered_records
from tests.support.noise_samples import write_noise
from tests.support.object_store import CREDENTIALS, object_store
from tools import convert_samples

FIELDS = ("crops", "mfcc", "speech", "valid", "sample_ids")


@pytest.fixture
def folder(tmp_path):
    """Samples of noise in single files, one of them with a clip offset."""
    (tmp_path / "files" / "samples").mkdir(parents=True)
    write_noise(tmp_path / "files", offset_ms=70.0)
    return tmp_path / "files"


def settings(folder: Path, **changes) -> Config:
    data = {"processed_dir": folder, "format": "shards", "shard_mb": 0.5} | changes
    return load_config(
        None, ["data.input_size=48", *(f"data.{name}={value}" for name, value in data.items())]
    )


def batches(config: Config, n_workers: int = 0, skip: int = 0) -> list[Batch]:
    samples = load_samples(Path(config.data.processed_dir) / INDEX_NAME, config.data)
    sampler = SegmentSampler(samples, 32, 4, seed=1, loader_workers=n_workers)
    return list(sampler.iter_random(3, skip=skip))


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for name in FIELDS:
            assert torch.equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("n_workers", [0, 2])
def test_batches_are_those_of_single_files(folder, n_workers):
    expected = batches(settings(folder, format="files"))
    sharded = settings(folder)
    assert publish_samples(sharded.data) == 11
    names = sorted(path.name for path in (folder / "shards").iterdir())
    assert names == [SHARD_INDEX, *(f"shard-{number:06}.tar" for number in range(len(names) - 1))]
    assert len(names) > 2
    assert_same(batches(sharded, n_workers), expected)
    assert_same(batches(sharded, n_workers, skip=2), expected[2:])  # resumed


def test_shards_are_tar_files_as_webdataset_reads_them(folder):
    write_shards(folder, str(folder / "shards"), 0.5)
    index = json.loads((folder / "shards" / SHARD_INDEX).read_text())
    with tarfile.open(folder / "shards" / "shard-000000.tar") as tar:
        names = tar.getnames()
        assert names[:2] == ["0.json", "0.npy"]
        assert np.load(io.BytesIO(tar.extractfile("0.npy").read()))["crop"].shape == (64, 48, 48)
        assert json.loads(tar.extractfile("0.json").read())["id"] == "0"
    assert sum(shard["samples"] for shard in index["shards"]) == len(index["samples"]) == 11
    for shard in index["shards"]:
        assert (folder / "shards" / shard["name"]).stat().st_size == shard["bytes"]


def test_only_new_samples_go_into_new_shards(folder):
    config = settings(folder)
    publish_samples(config.data)
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "shards").glob("*.tar")}
    assert publish_samples(config.data) == 0
    index = read_index(folder / INDEX_NAME)
    np.save(folder / "new.npy", numbered_records(0, 40))
    record = index["samples"][0] | {"id": "new", "file": "new.npy", "n_frames": 40}
    write_index(folder / INDEX_NAME, index["settings"], [*index["samples"][1:], record])
    assert publish_samples(config.data) == 1
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "shards").glob("*.tar")}
    assert before.items() <= after.items() and len(after) == len(before) + 1
    assert {sample.id for sample in load_samples(folder / INDEX_NAME, config.data)} == {
        *(str(number) for number in range(1, 11)), "new",
    }  # fmt: skip


def test_a_shard_that_is_missing_or_damaged_is_named_and_can_be_left_out(folder, capsys):
    config = settings(folder)
    publish_samples(config.data)
    shards = folder / "shards"
    (shards / "shard-000001.tar").unlink()
    with pytest.raises(DatasetError, match=r"shard-000001\.tar is damaged \(it is missing\)"):
        load_samples(folder / INDEX_NAME, config.data)
    content = bytearray((shards / "shard-000000.tar").read_bytes())
    content[5000] ^= 1
    (shards / "shard-000000.tar").write_bytes(content)
    skipping = settings(folder, skip_damaged="true").data
    kept = load_samples(folder / INDEX_NAME, skipping)
    thorough = settings(folder, skip_damaged="true", verify_shards="true").data
    fewer = load_samples(folder / INDEX_NAME, thorough)
    assert 0 < len(fewer) < len(kept) < 11
    output = capsys.readouterr().err
    assert "shard-000001.tar is left out (it is missing)" in output
    assert "shard-000000.tar is left out (its content is not what was written)" in output
    assert f"left out: 2 of 4 shards, with {11 - len(fewer)} samples" in output
    index = json.loads((shards / SHARD_INDEX).read_text())
    index["samples"][0]["shard_offset"] -= 40
    (shards / SHARD_INDEX).write_text(json.dumps(index))
    with pytest.raises(DatasetError, match="its frames are not where its index says"):
        load_samples(folder / INDEX_NAME, skipping)[0].read()


def test_there_and_back_gives_the_same_samples(folder, tmp_path, monkeypatch, capsys):
    def run(*arguments) -> int:
        monkeypatch.setattr("sys.argv", ["convert_samples.py", *map(str, arguments)])
        return convert_samples.main()

    assert run(folder, tmp_path / "shards", "--shard-mb", 0.5) == 0
    assert run("--check", tmp_path / "shards") == 0
    assert run(tmp_path / "shards", tmp_path / "back") == 0
    back, index = read_index(tmp_path / "back" / INDEX_NAME), read_index(folder / INDEX_NAME)
    assert back == index
    for record in index["samples"]:
        before, after = (np.load(place / record["file"]) for place in (folder, tmp_path / "back"))
        assert before.dtype == after.dtype and before.tobytes() == after.tobytes()
    with pytest.raises(OutputError, match="choose another folder"):
        write_files(str(tmp_path / "shards"), tmp_path / "back")
    shard = tmp_path / "shards" / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run("--check", tmp_path / "shards") == 1
    assert "shard-000000.tar: " in capsys.readouterr().out


@pytest.mark.slow
def test_a_store_whose_requests_fail_now_and_then_gives_the_same_batches(folder, monkeypatch):
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    expected = batches(settings(folder, format="files"))
    with object_store("samples") as (address, store):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        config = settings(folder, shards="s3://samples/some/folder")
        assert publish_samples(config.data) == 11
        for n_workers in (0, 2):
            assert_same(batches(config, n_workers), expected)
        assert store.n_failed > 3
        missing = settings(folder, shards="s3://no-such-bucket/folder")
        with pytest.raises(StorageError, match=r"cannot read s3://no-such-bucket/folder/index"):
            batches(missing)
        with pytest.raises(OutputError, match="cannot write s3://no-such-bucket/folder"):
            publish_samples(missing.data)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError("Access Denied"), "no permission: check your credentials"),
        (OSError("RequestTimeTooSkewed: the difference is too large"), "the clock of this machine"),
        (OSError("XMinioStorageFull: no room"), "it is full: free some space"),
    ],
)
def test_what_a_store_refuses_is_one_line_with_what_to_do(monkeypatch, error, says):
    class Refusing:
        def cat_file(self, *_, **__):
            raise error

    monkeypatch.setattr(storage, "_file_system", lambda url: (Refusing(), url))
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0)
    with pytest.raises(StorageError, match=says) as caught:
        storage.read_bytes("s3://bucket/file")
    assert "\n" not in str(caught.value) and "s3://bucket/file" in str(caught.value)


def test_a_url_of_an_unknown_kind_says_what_to_install():
    with pytest.raises(ConfigError, match="nothing://there cannot be used"):
        storage.read_bytes("nothing://there")
