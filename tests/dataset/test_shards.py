"""Clips shared out over several runs, and their indexes joined again."""

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
from src.preprocessing.track_file import record_type
from tests.support.processing_helpers import (
    by_clip,
    contents,
    files_of,
    processed,
    records_of,
    run_command,
    sample_names,
    settings_in,
    variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)


def write_samples(folder: Path, name: str, *clips: str, version="", **settings) -> Path:
    """An index in ``folder/processed`` with a sample of each clip; another version of a clip has
    another content and file name."""
    (folder / "processed" / "samples").mkdir(parents=True, exist_ok=True)
    records = []
    for clip in clips:
        sample = np.zeros(len(clip) + 10, record_type(48, 13, 4))
        sample["mfcc"] = sum(map(ord, clip + version))
        file = f"samples/{clip}{version}.npy"
        np.save(folder / "processed" / file, sample)
        records.append({"id": f"{clip}#0", "file": file, "clip": clip, "speaker": "",
                        "n_frames": len(sample)})  # fmt: skip
    write_index(folder / "processed" / name, sample_settings(DataConfig(**settings)), records)
    return folder / "processed" / name


def write_shard(folder: Path, number: int, shards: int, *clips: str, **more) -> Path:
    return write_samples(folder, shard_index_name(number, shards), *clips, **more)


@pytest.fixture
def refused(command_here):
    """``refused(folder, …)``: the one line with which the command ends, without a trace."""

    def call(folder: Path, *more: str, **changes) -> str:
        before = contents(folder)
        code, out, err = command_here(folder, *more, **changes)
        (line,) = err.splitlines()
        assert code == 2 and line.startswith("error: ") and "Done" not in out
        assert contents(folder) == before, "nothing is touched"
        return line.removeprefix("error: ")

    return call


# ---------------------------------------------------------------------------- runs of shards


def test_shards_joined_are_what_one_run_gives(tmp_path, command_here, short_clip):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    names = [f"speaker {n % 2}/口播 {n}.mp4" for n in range(5)] + ["bad.mp4"]
    for number, name in enumerate(names):
        variant(short_clip, whole / "videos" / name, number)
    (whole / "videos" / "bad.mp4").write_text("no film")
    shutil.copytree(whole, parts)
    processed(whole)
    for number in range(3):
        expected = shard_of(find_clips(settings_in(parts).data), number, 3)
        code, out, _ = command_here(parts, "--num-shards", "3", "--shard-index", f"{number}")
        assert code == 0 and f"{len(expected)} of them are in shard {number} of 3" in out
        good = {clip.name for clip in expected} - {"bad.mp4"}
        assert set(by_clip(parts, shard_index_name(number, 3))) == good
    assert not (parts / "processed" / INDEX_NAME).exists()
    code, out, err = command_here(parts, "--merge")
    assert (code, err) == (0, "")
    index = parts / "processed" / INDEX_NAME
    assert out.splitlines() == ["Done! 5 samples processed", f"index file: {index}"]
    one, other = (read_index(folder / "processed" / INDEX_NAME) for folder in (whole, parts))
    assert by_clip(parts) == by_clip(whole) and one["settings"] == other["settings"]
    samples = [contents(folder / "processed" / "samples") for folder in (whole, parts)]
    assert samples[0] == samples[1]
    skipped = [path.name for path in (parts / "processed").glob("skipped*")]
    assert sorted(skipped) == [f"skipped.shard-{number}-of-3.csv" for number in range(3)]


def test_a_joint_index_is_extended_by_runs_of_both_kinds(tmp_path, command_here, short_clip):
    for number in range(3):
        variant(short_clip, tmp_path / "videos" / f"{number}.mp4", number)
    for number in range(2):
        command_here(tmp_path, "--num-shards", "2", "--shard-index", f"{number}")
    command_here(tmp_path, "--merge")
    first = by_clip(tmp_path)
    variant(short_clip, tmp_path / "videos" / "3.mp4", 3)
    assert processed(tmp_path).reused == 3
    assert first.items() < by_clip(tmp_path).items()
    variant(short_clip, tmp_path / "videos" / "4.mp4", 4)
    for number in range(2):
        code, out, _ = command_here(tmp_path, "--num-shards", "2", "--shard-index", f"{number}")
        assert code == 0 and "already done" in out
    command_here(tmp_path, "--merge")
    assert set(by_clip(tmp_path)) == {f"{number}.mp4" for number in range(5)}
    assert sample_names(tmp_path) == files_of(tmp_path)


def test_an_empty_shard_is_none_the_worse(tmp_path, command_here, short_clip):
    variant(short_clip, tmp_path / "videos" / "a.mp4", 1)  # in shard 0 of 4, see test_clips
    code, out, _ = command_here(tmp_path, "--num-shards", "4", "--shard-index", "2")
    assert code == 0 and "0 of them are in shard 2 of 4" in out
    assert "Done! 0 samples processed" in out
    for number in (0, 1, 3):
        command_here(tmp_path, "--num-shards", "4", "--shard-index", f"{number}")
    code, out, _ = command_here(tmp_path, "--merge")
    assert code == 0 and list(by_clip(tmp_path)) == ["a.mp4"]


@pytest.mark.slow
def test_a_shard_in_a_process_of_its_own(tmp_path, short_clip):
    variant(short_clip, tmp_path / "videos" / "a.mp4", 1)
    done = run_command(tmp_path, "--num-shards", "1", "--shard-index", "0")
    assert done.returncode == 0, done.stderr
    assert list(by_clip(tmp_path, shard_index_name(0, 1))) == ["a.mp4"]
    done = run_command(tmp_path, "--merge")
    assert done.returncode == 0 and done.stderr == "" and list(by_clip(tmp_path)) == ["a.mp4"]


@pytest.mark.parametrize(
    ("shards", "number", "words"),
    [("3", "3", "0 to 2 are allowed"), ("3", "-1", "0 to 2 are allowed"),
     ("0", "0", "at least 1 is needed"), ("-2", "0", "at least 1 is needed")],
)  # fmt: skip
def test_numbers_that_make_no_shard_are_refused(tmp_path, refused, shards, number, words):
    line = refused(tmp_path, "--num-shards", shards, "--shard-index", number)
    assert words in line and (number in line or shards in line)


@pytest.mark.parametrize(
    "options",
    [["--num-shards", "3"], ["--shard-index", "0"], ["--num-shards", "two", "--shard-index", "0"],
     ["--num-shards", "2", "--shard-index", "0", "--merge"],
     ["--merge", "--contact-sheet", "a.png"]],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(tmp_path, command_here, options):
    code, _, err = command_here(tmp_path, *options)
    assert code == 2 and "error: " in err.splitlines()[-1] and not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------- joining


def test_shards_of_one_folder_are_joined(tmp_path, command_here):
    write_shard(tmp_path, 0, 2, "a.mp4", "c.mp4")
    write_shard(tmp_path, 1, 2, "b.mp4")
    before = contents(tmp_path)
    for more in ([], [str(tmp_path / "processed")], 2 * [str(tmp_path / "processed")]):
        code, _, err = command_here(tmp_path, "--merge", *more)
        assert (code, err) == (0, "")
        assert [record["clip"] for record in records_of(tmp_path)] == ["a.mp4", "b.mp4", "c.mp4"]
        assert before.items() < contents(tmp_path).items()
        assert sample_names(tmp_path) == files_of(tmp_path)


def merged_from(tmp_path: Path, command_here) -> tuple[Path, dict[str, bytes]]:
    """A folder into which two others were joined, and what the samples were."""
    sources = [tmp_path / "one", tmp_path / "other"]
    write_shard(sources[0], 0, 2, "a.mp4", "c.mp4")
    write_shard(sources[1], 1, 2, "b.mp4")
    target = tmp_path / "joint"
    code, _, err = command_here(
        target, "--merge", *(str(source / "processed") for source in sources)
    )
    assert (code, err) == (0, "")
    assert list(by_clip(target)) == ["a.mp4", "b.mp4", "c.mp4"]
    made = {}
    for source in sources:
        made |= contents(source / "processed" / "samples")
    return target, made


def test_shards_of_several_folders_are_joined(tmp_path, command_here):
    """Linked, not copied; and nothing in the index leads out of the folder."""
    target, made = merged_from(tmp_path, command_here)
    assert contents(target / "processed" / "samples") == made
    here = target / "processed" / "samples" / "a.mp4.npy"
    assert here.samefile(tmp_path / "one" / "processed" / "samples" / "a.mp4.npy")
    for record in read_index(target / "processed" / INDEX_NAME)["samples"]:
        assert record["file"].startswith("samples/")
    for source in ("one", "other"):
        shutil.rmtree(tmp_path / source)
    target.rename(tmp_path / "elsewhere")
    assert len(records_of(tmp_path / "elsewhere")) == 3, "the folder stands alone"


def test_samples_are_copied_where_they_cannot_be_linked(tmp_path, command_here, monkeypatch):
    def no_link(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(shards.os, "link", no_link)
    target, made = merged_from(tmp_path, command_here)
    assert contents(target / "processed" / "samples") == made
    here = target / "processed" / "samples" / "a.mp4.npy"
    assert not here.samefile(tmp_path / "one" / "processed" / "samples" / "a.mp4.npy")


def test_joining_twice_changes_nothing(tmp_path, command_here):
    target, made = merged_from(tmp_path, command_here)
    old = records_of(target)
    assert merged_from(tmp_path, command_here) == (target, made)
    assert records_of(target) == old and sample_names(target) == files_of(target)


def test_the_index_of_the_folder_is_extended(tmp_path, command_here):
    """Clips that no shard has stay; those of a shard replace older ones, and their files."""
    write_samples(tmp_path, INDEX_NAME, "gone.mp4", "b.mp4", version=" old")
    write_shard(tmp_path, 0, 1, "a.mp4", "b.mp4")
    code, out, _ = command_here(tmp_path, "--merge")
    assert code == 0 and out.splitlines()[0] == "Done! 3 samples processed"
    assert {name: record["file"] for name, record in by_clip(tmp_path).items()} == {
        "a.mp4": "samples/a.mp4.npy",
        "b.mp4": "samples/b.mp4.npy",
        "gone.mp4": "samples/gone.mp4 old.npy",
    }
    assert sample_names(tmp_path) == files_of(tmp_path)


def test_prune_drops_clips_that_no_shard_has(tmp_path, command_here):
    write_samples(tmp_path, INDEX_NAME, "gone.mp4", "a.mp4")
    write_shard(tmp_path, 0, 1, "a.mp4")
    code, _, _ = command_here(tmp_path, "--merge", "--prune")
    assert code == 0 and list(by_clip(tmp_path)) == ["a.mp4"]
    assert sample_names(tmp_path) == {"a.mp4.npy"}


def test_overwrite_replaces_an_index_of_other_settings(tmp_path, command_here):
    write_samples(tmp_path, INDEX_NAME, "a.mp4", "b.mp4", version=" old", input_size=48)
    write_shard(tmp_path, 0, 1, "a.mp4")
    code, _, _ = command_here(tmp_path, "--merge", "--overwrite")
    assert code == 0 and list(by_clip(tmp_path)) == ["a.mp4"]
    assert sample_names(tmp_path) == {"a.mp4.npy"}


def test_a_shard_run_removes_no_sample_that_the_joint_index_names(
    tmp_path, command_here, short_clip
):
    """Until the shards are joined again, the joint index is as good as it was."""
    shard = ["--num-shards", "1", "--shard-index", "0"]
    for number in range(3):
        variant(short_clip, tmp_path / "videos" / f"{number}.mp4", number)
    command_here(tmp_path, *shard)
    command_here(tmp_path, "--merge")
    old = by_clip(tmp_path)
    variant(short_clip, tmp_path / "videos" / "0.mp4", 10)  # another content
    (tmp_path / "videos" / "1.mp4").unlink()
    code, _, _ = command_here(tmp_path, *shard, "--prune")
    assert code == 0 and set(by_clip(tmp_path, shard_index_name(0, 1))) == {"0.mp4", "2.mp4"}
    assert by_clip(tmp_path) == old, "each leads to its sample"
    command_here(tmp_path, "--merge")
    new = by_clip(tmp_path)
    assert new["0.mp4"] != old["0.mp4"] and new["1.mp4"] == old["1.mp4"]
    assert sample_names(tmp_path) == files_of(tmp_path)
    command_here(tmp_path, "--merge", "--prune")
    assert set(by_clip(tmp_path)) == {"0.mp4", "2.mp4"}
    assert sample_names(tmp_path) == files_of(tmp_path)


# ---------------------------------------------------------------------------- what is refused


def test_no_shard_at_all(tmp_path, refused):
    write_samples(tmp_path, INDEX_NAME, "a.mp4")
    words = refused(tmp_path, "--merge")
    assert words.startswith("no index of a shard in") and "--num-shards" in words
    assert "is no folder" in refused(tmp_path, "--merge", str(tmp_path / "nowhere"))


def test_a_missing_shard_is_named(tmp_path, refused):
    for number in (0, 2):
        write_shard(tmp_path, number, 5, f"{number}.mp4")
    assert refused(tmp_path, "--merge").startswith("shard 1, 3, 4 of 5 is missing in")


def test_the_same_shard_twice(tmp_path, refused):
    for name in ("one", "other"):
        write_shard(tmp_path / name, 0, 1, "a.mp4")
    (tmp_path / "processed" / "samples").mkdir(parents=True)
    words = refused(
        tmp_path, "--merge", *(str(tmp_path / name / "processed") for name in ("one", "other"))
    )
    assert "are the same shard" in words and "one" in words and "other" in words


def test_shards_of_several_divisions(tmp_path, refused):
    for number, count in ((0, 1), (0, 2), (1, 2)):
        write_shard(tmp_path, number, count, "a.mp4")
    assert "several divisions (of 1, of 2)" in refused(tmp_path, "--merge")


@pytest.mark.parametrize("odd", [0, 1])
def test_a_shard_made_with_other_settings(tmp_path, refused, odd):
    for number in range(2):
        size = 48 if number == odd else 96
        write_shard(tmp_path, number, 2, f"{number}.mp4", input_size=size)
    words = refused(tmp_path, "--merge")
    assert f"shard-{odd}-of-2.pkl was made with data.input_size = 48, the settings say 96" in words


def test_an_index_of_the_folder_made_with_other_settings(tmp_path, refused):
    """It is refused before a sample is brought along."""
    write_samples(tmp_path / "joint", INDEX_NAME, "a.mp4", input_size=48)
    write_shard(tmp_path / "one", 0, 1, "b.mp4")
    words = refused(tmp_path / "joint", "--merge", str(tmp_path / "one" / "processed"))
    assert "dataset_index.pkl was made with data.input_size = 48" in words
    assert "--overwrite" in words


def test_a_shard_without_one_of_its_samples(tmp_path, refused):
    """Also with --overwrite: the old index is emptied only when all the rest is in order."""
    write_samples(tmp_path, INDEX_NAME, "old.mp4", input_size=48)
    write_shard(tmp_path, 0, 2, "a.mp4")
    write_shard(tmp_path, 1, 2, "b.mp4", "c.mp4")
    (tmp_path / "processed" / "samples" / "c.mp4.npy").unlink()
    words = refused(tmp_path, "--merge", "--overwrite")
    assert "shard-1-of-2.pkl names samples/c.mp4.npy, which is not there" in words


@pytest.mark.parametrize("content", [b"", b"no index", b"cos\nsystem\n(S'touch ran'\ntR."])
def test_a_damaged_shard(tmp_path, refused, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    write_shard(tmp_path, 0, 2, "a.mp4")
    write_shard(tmp_path, 1, 2).write_bytes(content)
    assert "dataset_index.shard-1-of-2.pkl is not a sound index" in refused(tmp_path, "--merge")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_while_samples_are_brought_along(tmp_path, refused, monkeypatch):
    write_samples(tmp_path / "joint", INDEX_NAME, "old.mp4")
    write_shard(tmp_path / "one", 0, 1, "a.mp4")

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shards.os, "link", full)
    monkeypatch.setattr(shards.shutil, "copyfile", full)
    words = refused(tmp_path / "joint", "--merge", str(tmp_path / "one" / "processed"))
    assert words.startswith("cannot write") and words.endswith("a.mp4.npy: No space left on device")
