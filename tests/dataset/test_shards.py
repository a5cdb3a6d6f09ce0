"""Clips split into shards, and the merging of their indexes."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.core.config import DataConfig
from src.dataset import shards
from src.dataset.clips import find_clips
from src.dataset.index import INDEX_NAME, read_index, sample_settings, write_index
from src.dataset.shards import shard_index_name, shard_of
from src.preprocessing.sample_file import sample_dtype
from tests.support.processing_helpers import (
    by_clip,
    contents,
    files_of,
    process_folder,
    records_of,
    run_command,
    sample_names,
    settings_in,
    write_variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)


def write_samples(folder: Path, name: str, *clips: str, version="", **settings) -> Path:
    """Write an index in ``folder/processed`` with a sample of each clip; another version of a clip
    has another content and file name."""
    (folder / "processed" / "samples").mkdir(parents=True, exist_ok=True)
    records = []
    for clip in clips:
        sample = np.zeros(len(clip) + 10, sample_dtype(48, 13, 4))
        sample["mfcc"] = sum(map(ord, clip + version))
        file = f"samples/{clip}{version}.npy"
        np.save(folder / "processed" / file, sample)
        records.append({"id": f"{clip}#0", "file": file, "clip": clip, "speaker": "",
                        "n_frames": len(sample)})  # fmt: skip
    write_index(folder / "processed" / name, sample_settings(DataConfig(**settings)), records)
    return folder / "processed" / name


def write_shard(folder: Path, number: int, n_shards: int, *clips: str, **settings) -> Path:
    return write_samples(folder, shard_index_name(number, n_shards), *clips, **settings)


@pytest.fixture
def rejected(run_script):
    """``rejected(folder, …)``: the one error line of the command, which changes nothing."""

    def call(folder: Path, *options: str, **changes) -> str:
        before = contents(folder)
        code, out, err = run_script(folder, *options, **changes)
        (line,) = err.splitlines()
        assert code == 2 and line.startswith("error: ") and "Done" not in out
        assert contents(folder) == before, "nothing is changed"
        return line.removeprefix("error: ")

    return call


# ---------------------------------------------------------------------------- runs of shards


def test_merged_shards_equal_a_single_run(tmp_path, run_script, short_clip):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    names = [f"speaker {n % 2}/口播 {n}.mp4" for n in range(5)] + ["bad.mp4"]
    for number, name in enumerate(names):
        write_variant(short_clip, whole / "videos" / name, number)
    (whole / "videos" / "bad.mp4").write_text("no video")
    shutil.copytree(whole, parts)
    process_folder(whole)
    for number in range(3):
        expected = shard_of(find_clips(settings_in(parts).data), number, 3)
        code, out, _ = run_script(parts, "--num-shards", "3", "--shard-index", f"{number}")
        assert code == 0 and f"{len(expected)} of them are in shard {number} of 3" in out
        usable = {clip.name for clip in expected} - {"bad.mp4"}
        assert set(by_clip(parts, shard_index_name(number, 3))) == usable
    assert not (parts / "processed" / INDEX_NAME).exists()
    code, out, err = run_script(parts, "--merge")
    assert (code, err) == (0, "")
    index = parts / "processed" / INDEX_NAME
    assert out.splitlines() == ["Done! 5 samples processed", f"index file: {index}"]
    single, merged = (read_index(folder / "processed" / INDEX_NAME) for folder in (whole, parts))
    assert by_clip(parts) == by_clip(whole) and single["settings"] == merged["settings"]
    samples = [contents(folder / "processed" / "samples") for folder in (whole, parts)]
    assert samples[0] == samples[1]
    skipped = [path.name for path in (parts / "processed").glob("skipped*")]
    assert sorted(skipped) == [f"skipped.shard-{number}-of-3.csv" for number in range(3)]


def test_a_merged_index_is_extended_by_runs_with_and_without_shards(
    tmp_path, run_script, short_clip
):
    for number in range(3):
        write_variant(short_clip, tmp_path / "videos" / f"{number}.mp4", number)
    for number in range(2):
        run_script(tmp_path, "--num-shards", "2", "--shard-index", f"{number}")
    run_script(tmp_path, "--merge")
    first = by_clip(tmp_path)
    write_variant(short_clip, tmp_path / "videos" / "3.mp4", 3)
    assert process_folder(tmp_path).n_reused == 3
    assert first.items() < by_clip(tmp_path).items()
    write_variant(short_clip, tmp_path / "videos" / "4.mp4", 4)
    for number in range(2):
        code, out, _ = run_script(tmp_path, "--num-shards", "2", "--shard-index", f"{number}")
        assert code == 0 and "already done" in out
    run_script(tmp_path, "--merge")
    assert set(by_clip(tmp_path)) == {f"{number}.mp4" for number in range(5)}
    assert sample_names(tmp_path) == files_of(tmp_path)


def test_an_empty_shard_is_valid(tmp_path, run_script, short_clip):
    write_variant(short_clip, tmp_path / "videos" / "a.mp4", 1)  # in shard 0 of 4, see test_clips
    code, out, _ = run_script(tmp_path, "--num-shards", "4", "--shard-index", "2")
    assert code == 0 and "0 of them are in shard 2 of 4" in out
    assert "Done! 0 samples processed" in out
    for number in (0, 1, 3):
        run_script(tmp_path, "--num-shards", "4", "--shard-index", f"{number}")
    code, out, _ = run_script(tmp_path, "--merge")
    assert code == 0 and list(by_clip(tmp_path)) == ["a.mp4"]


@pytest.mark.slow
def test_a_shard_in_a_process_of_its_own(tmp_path, short_clip):
    write_variant(short_clip, tmp_path / "videos" / "a.mp4", 1)
    process = run_command(tmp_path, "--num-shards", "1", "--shard-index", "0")
    assert process.returncode == 0, process.stderr
    assert list(by_clip(tmp_path, shard_index_name(0, 1))) == ["a.mp4"]
    process = run_command(tmp_path, "--merge")
    assert process.returncode == 0 and process.stderr == ""
    assert list(by_clip(tmp_path)) == ["a.mp4"]


@pytest.mark.parametrize(
    ("n_shards", "number", "message"),
    [("3", "3", "--shard-index 3: must be 0 to 2 with --num-shards 3"),
     ("3", "-1", "--shard-index -1: must be 0 to 2 with --num-shards 3"),
     ("0", "0", "--num-shards 0: must be at least 1"),
     ("-2", "0", "--num-shards -2: must be at least 1")],
)  # fmt: skip
def test_impossible_shard_numbers_are_rejected(tmp_path, rejected, n_shards, number, message):
    assert rejected(tmp_path, "--num-shards", n_shards, "--shard-index", number) == message


@pytest.mark.parametrize(
    "options",
    [["--num-shards", "3"], ["--shard-index", "0"], ["--num-shards", "two", "--shard-index", "0"],
     ["--num-shards", "2", "--shard-index", "0", "--merge"],
     ["--merge", "--contact-sheet", "a.png"]],
)  # fmt: skip
def test_contradictory_options_are_rejected(tmp_path, run_script, options):
    code, _, err = run_script(tmp_path, *options)
    assert code == 2 and "error: " in err.splitlines()[-1] and not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------- merging


def test_shards_of_one_folder_are_merged(tmp_path, run_script):
    write_shard(tmp_path, 0, 2, "a.mp4", "c.mp4")
    write_shard(tmp_path, 1, 2, "b.mp4")
    before = contents(tmp_path)
    for folders in ([], [str(tmp_path / "processed")], 2 * [str(tmp_path / "processed")]):
        code, _, err = run_script(tmp_path, "--merge", *folders)
        assert (code, err) == (0, "")
        assert [record["clip"] for record in records_of(tmp_path)] == ["a.mp4", "b.mp4", "c.mp4"]
        assert before.items() < contents(tmp_path).items()
        assert sample_names(tmp_path) == files_of(tmp_path)


def merge_two_folders(tmp_path: Path, run_script) -> tuple[Path, dict[str, bytes]]:
    """A folder into which two others were merged, and the content of their samples."""
    sources = [tmp_path / "first", tmp_path / "second"]
    write_shard(sources[0], 0, 2, "a.mp4", "c.mp4")
    write_shard(sources[1], 1, 2, "b.mp4")
    target = tmp_path / "merged"
    code, _, err = run_script(target, "--merge", *(str(source / "processed") for source in sources))
    assert (code, err) == (0, "")
    assert list(by_clip(target)) == ["a.mp4", "b.mp4", "c.mp4"]
    samples = {}
    for source in sources:
        samples |= contents(source / "processed" / "samples")
    return target, samples


def test_shards_of_several_folders_are_merged(tmp_path, run_script):
    """Linked, not copied; and no path in the index leads out of the folder."""
    target, samples = merge_two_folders(tmp_path, run_script)
    assert contents(target / "processed" / "samples") == samples
    sample_path = target / "processed" / "samples" / "a.mp4.npy"
    assert sample_path.samefile(tmp_path / "first" / "processed" / "samples" / "a.mp4.npy")
    for record in read_index(target / "processed" / INDEX_NAME)["samples"]:
        assert record["file"].startswith("samples/")
    for source in ("first", "second"):
        shutil.rmtree(tmp_path / source)
    target.rename(tmp_path / "elsewhere")
    assert len(records_of(tmp_path / "elsewhere")) == 3, "the folder does not depend on the sources"


def test_samples_are_copied_where_they_cannot_be_linked(tmp_path, run_script, monkeypatch):
    def no_link(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(shards.os, "link", no_link)
    target, samples = merge_two_folders(tmp_path, run_script)
    assert contents(target / "processed" / "samples") == samples
    sample_path = target / "processed" / "samples" / "a.mp4.npy"
    assert not sample_path.samefile(tmp_path / "first" / "processed" / "samples" / "a.mp4.npy")


def test_merging_twice_changes_nothing(tmp_path, run_script):
    target, samples = merge_two_folders(tmp_path, run_script)
    old = records_of(target)
    assert merge_two_folders(tmp_path, run_script) == (target, samples)
    assert records_of(target) == old and sample_names(target) == files_of(target)


def test_the_index_of_the_folder_is_extended(tmp_path, run_script):
    """Clips that no shard has stay; those of a shard replace older ones, and their files."""
    write_samples(tmp_path, INDEX_NAME, "gone.mp4", "b.mp4", version=" old")
    write_shard(tmp_path, 0, 1, "a.mp4", "b.mp4")
    code, out, _ = run_script(tmp_path, "--merge")
    assert code == 0 and out.splitlines()[0] == "Done! 3 samples processed"
    assert {name: record["file"] for name, record in by_clip(tmp_path).items()} == {
        "a.mp4": "samples/a.mp4.npy",
        "b.mp4": "samples/b.mp4.npy",
        "gone.mp4": "samples/gone.mp4 old.npy",
    }
    assert sample_names(tmp_path) == files_of(tmp_path)


def test_prune_drops_clips_that_no_shard_has(tmp_path, run_script):
    write_samples(tmp_path, INDEX_NAME, "gone.mp4", "a.mp4")
    write_shard(tmp_path, 0, 1, "a.mp4")
    code, _, _ = run_script(tmp_path, "--merge", "--prune")
    assert code == 0 and list(by_clip(tmp_path)) == ["a.mp4"]
    assert sample_names(tmp_path) == {"a.mp4.npy"}


def test_overwrite_replaces_an_index_of_other_settings(tmp_path, run_script):
    write_samples(tmp_path, INDEX_NAME, "a.mp4", "b.mp4", version=" old", input_size=48)
    write_shard(tmp_path, 0, 1, "a.mp4")
    code, _, _ = run_script(tmp_path, "--merge", "--overwrite")
    assert code == 0 and list(by_clip(tmp_path)) == ["a.mp4"]
    assert sample_names(tmp_path) == {"a.mp4.npy"}


def test_a_shard_run_removes_no_sample_of_the_merged_index(tmp_path, run_script, short_clip):
    """Until the shards are merged again, the merged index stays valid."""
    shard = ["--num-shards", "1", "--shard-index", "0"]
    for number in range(3):
        write_variant(short_clip, tmp_path / "videos" / f"{number}.mp4", number)
    run_script(tmp_path, *shard)
    run_script(tmp_path, "--merge")
    old = by_clip(tmp_path)
    write_variant(short_clip, tmp_path / "videos" / "0.mp4", 10)  # another content
    (tmp_path / "videos" / "1.mp4").unlink()
    code, _, _ = run_script(tmp_path, *shard, "--prune")
    assert code == 0 and set(by_clip(tmp_path, shard_index_name(0, 1))) == {"0.mp4", "2.mp4"}
    assert by_clip(tmp_path) == old, "each leads to its sample"
    run_script(tmp_path, "--merge")
    new = by_clip(tmp_path)
    assert new["0.mp4"] != old["0.mp4"] and new["1.mp4"] == old["1.mp4"]
    assert sample_names(tmp_path) == files_of(tmp_path)
    run_script(tmp_path, "--merge", "--prune")
    assert set(by_clip(tmp_path)) == {"0.mp4", "2.mp4"}
    assert sample_names(tmp_path) == files_of(tmp_path)


# ---------------------------------------------------------------------------- errors


def test_no_shard_is_rejected(tmp_path, rejected):
    write_samples(tmp_path, INDEX_NAME, "a.mp4")
    line = rejected(tmp_path, "--merge")
    assert line.startswith("no shard index in") and "--num-shards" in line
    nowhere = tmp_path / "nowhere"
    line = rejected(tmp_path, "--merge", str(nowhere))
    assert line == f"{nowhere} is not a folder with shard indexes"


def test_a_missing_shard_is_named(tmp_path, rejected):
    for number in (0, 2):
        write_shard(tmp_path, number, 5, f"{number}.mp4")
    assert rejected(tmp_path, "--merge").startswith("shard 1, 3, 4 of 5 is missing in")


def test_the_same_shard_twice_is_rejected(tmp_path, rejected):
    for name in ("first", "second"):
        write_shard(tmp_path / name, 0, 1, "a.mp4")
    (tmp_path / "processed" / "samples").mkdir(parents=True)
    line = rejected(
        tmp_path, "--merge", *(str(tmp_path / name / "processed") for name in ("first", "second"))
    )
    assert "are the same shard: give only one of their folders" in line
    assert "first" in line and "second" in line


def test_different_shard_counts_are_rejected(tmp_path, rejected):
    for number, count in ((0, 1), (0, 2), (1, 2)):
        write_shard(tmp_path, number, count, "a.mp4")
    assert "different shard counts (of 1, of 2)" in rejected(tmp_path, "--merge")


@pytest.mark.parametrize("odd", [0, 1])
def test_a_shard_made_with_other_settings_is_rejected(tmp_path, rejected, odd):
    for number in range(2):
        size = 48 if number == odd else 96
        write_shard(tmp_path, number, 2, f"{number}.mp4", input_size=size)
    line = rejected(tmp_path, "--merge")
    message = (
        f"shard-{odd}-of-2.pkl was made with data.input_size = 48, the settings say 96: "
        "its samples cannot be merged with these"
    )
    assert line.endswith(message)


def test_an_index_of_the_folder_made_with_other_settings_is_rejected(tmp_path, rejected):
    """Before a sample is linked."""
    write_samples(tmp_path / "merged", INDEX_NAME, "a.mp4", input_size=48)
    write_shard(tmp_path / "first", 0, 1, "b.mp4")
    line = rejected(tmp_path / "merged", "--merge", str(tmp_path / "first" / "processed"))
    assert "dataset_index.pkl was made with data.input_size = 48" in line
    assert "--overwrite" in line


def test_a_shard_without_one_of_its_samples_is_rejected(tmp_path, rejected):
    """Also with --overwrite: the old index is emptied only when everything else is valid."""
    write_samples(tmp_path, INDEX_NAME, "old.mp4", input_size=48)
    write_shard(tmp_path, 0, 2, "a.mp4")
    write_shard(tmp_path, 1, 2, "b.mp4", "c.mp4")
    (tmp_path / "processed" / "samples" / "c.mp4.npy").unlink()
    line = rejected(tmp_path, "--merge", "--overwrite")
    assert "shard-1-of-2.pkl lists samples/c.mp4.npy, which is missing: copy the folder" in line


def test_a_shard_may_not_replace_other_files_of_the_folder(tmp_path, rejected):
    write_samples(tmp_path / "merged", INDEX_NAME, "a.mp4")
    (tmp_path / "merged" / "processed" / "notes.txt").write_text("mine")
    (tmp_path / "first" / "processed").mkdir(parents=True)
    (tmp_path / "first" / "processed" / "notes.txt").write_text("a stranger's")
    record = {"id": "b#0", "file": "notes.txt", "clip": "b.mp4", "speaker": "", "n_frames": 9}
    write_index(
        tmp_path / "first" / "processed" / shard_index_name(0, 1), sample_settings(DataConfig()),
        [record],
    )  # fmt: skip
    line = rejected(tmp_path / "merged", "--merge", str(tmp_path / "first" / "processed"))
    assert "shard-0-of-1.pkl lists notes.txt, which is not a sample in samples" in line


@pytest.mark.parametrize("content", [b"", b"no index", b"cos\nsystem\n(S'touch ran'\ntR."])
def test_a_damaged_shard_is_rejected(tmp_path, rejected, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    write_shard(tmp_path, 0, 2, "a.mp4")
    write_shard(tmp_path, 1, 2).write_bytes(content)
    assert "dataset_index.shard-1-of-2.pkl is not a valid index" in rejected(tmp_path, "--merge")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_while_samples_are_linked(tmp_path, rejected, monkeypatch):
    write_samples(tmp_path / "merged", INDEX_NAME, "old.mp4")
    write_shard(tmp_path / "first", 0, 1, "a.mp4")

    def fail(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shards.os, "link", fail)
    monkeypatch.setattr(shards.shutil, "copyfile", fail)
    line = rejected(tmp_path / "merged", "--merge", str(tmp_path / "first" / "processed"))
    assert line.startswith("cannot write") and line.endswith("a.mp4.npy: No space left on device")
