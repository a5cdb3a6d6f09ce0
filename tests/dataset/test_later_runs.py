"""What a later run does with existing samples: adds to, keeps, replaces or rejects them."""

import os
import shutil
import time
from pathlib import Path

import pytest

from src.core.errors import DetectorError, OutputError
from src.dataset import build
from src.dataset.build import process_clips
from src.dataset.index import INDEX_NAME, read_index, sample_settings, write_index
from src.media.reader import read_audio
from src.media.writer import write_wav
from src.preprocessing.sample_file import read_sample
from tests.support.processing_helpers import (
    by_clip,
    contents,
    files_of,
    process_folder,
    records_of,
    sample_names,
    settings_in,
    touch,
    write_variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)


def test_new_clips_are_added(clip_folder, in_process, short_clip):
    old, before = by_clip(clip_folder), contents(clip_folder / "processed" / "samples")
    write_variant(short_clip, clip_folder / "videos" / "anna" / "0.mp4", 3)
    report = process_folder(clip_folder)
    assert report.n_reused == 2 and len(report.samples) == 3 and report.n_missing == 0
    new = by_clip(clip_folder)
    assert new == old | {"anna/0.mp4": new["anna/0.mp4"]}
    assert before.items() < contents(clip_folder / "processed" / "samples").items()


def test_only_changed_clips_are_processed_again(clip_folder, in_process, short_clip):
    """One clip's content changed, one sample was lost, one clip got an audio file."""
    for number in (3, 4):
        write_variant(short_clip, clip_folder / "videos" / f"{number}.mp4", number)
    process_folder(clip_folder)
    old = by_clip(clip_folder)
    write_variant(short_clip, clip_folder / "videos" / "2.mp4", 22)
    (clip_folder / "processed" / old["3.mp4"]["file"]).unlink()
    (clip_folder / "audios").mkdir()
    write_wav(clip_folder / "audios" / "4.wav", read_audio(short_clip))
    report, new = process_folder(clip_folder), by_clip(clip_folder)
    assert report.n_reused == 1 and not report.skipped
    assert new["1.mp4"] == old["1.mp4"] and new["3.mp4"] == old["3.mp4"]
    assert new["2.mp4"]["video_sha256"] != old["2.mp4"]["video_sha256"]
    assert new["4.mp4"]["audio_sha256"] != old["4.mp4"]["audio_sha256"] == ""
    for name in ("2.mp4", "4.mp4"):
        assert new[name]["file"] != old[name]["file"]
    assert sample_names(clip_folder) == files_of(clip_folder), "replaced samples are removed"


def test_samples_are_replaced_only_after_the_index_is_saved(
    clip_folder, in_process, short_clip, monkeypatch
):
    before = contents(clip_folder / "processed")
    write_variant(short_clip, clip_folder / "videos" / "2.mp4", 22)

    def fail(*_):
        raise OutputError("no room for the index")

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_index", fail)
        with pytest.raises(OutputError, match="no room for the index"):
            process_folder(clip_folder)
    assert before.items() < contents(clip_folder / "processed").items(), "no old file is removed"
    records_of(clip_folder)
    process_folder(clip_folder)
    assert sample_names(clip_folder) == files_of(clip_folder) and len(files_of(clip_folder)) == 2


def test_missing_clips_stay_until_they_are_pruned(clip_folder, run_script):
    old = by_clip(clip_folder)
    (clip_folder / "videos" / "1.mp4").unlink()
    code, out, _ = run_script(clip_folder)
    assert code == 0 and by_clip(clip_folder) == old
    assert (
        "1 clip of the index is no longer in the video folder; it stays in the index "
        "(--prune removes it)"
    ) in out
    assert out.splitlines()[-3] == "Done! 2 samples processed"
    code, out, _ = run_script(clip_folder, "--prune")
    assert code == 0 and by_clip(clip_folder) == {"2.mp4": old["2.mp4"]}
    assert sample_names(clip_folder) == {Path(old["2.mp4"]["file"]).name}
    assert "no longer" not in out and out.splitlines()[-3] == "Done! 1 sample processed"


def test_a_clip_that_became_unusable_is_dropped(clip_folder, in_process):
    old = by_clip(clip_folder)
    (clip_folder / "videos" / "1.mp4").write_text("no video any more")
    assert [name for name, _ in process_folder(clip_folder).skipped] == ["1.mp4"]
    assert by_clip(clip_folder) == {"2.mp4": old["2.mp4"]}
    assert sample_names(clip_folder) == files_of(clip_folder)


@pytest.mark.skipif(os.name == "nt", reason="links need special rights on Windows")
def test_a_clip_on_a_disconnected_disk_stays(clip_folder, in_process, tmp_path):
    """Its link is broken for now: that is reported, and its samples stay."""
    (tmp_path / "disk").mkdir()
    shutil.move(clip_folder / "videos" / "1.mp4", tmp_path / "disk" / "1.mp4")
    os.symlink(tmp_path / "disk" / "1.mp4", clip_folder / "videos" / "1.mp4")
    assert process_folder(clip_folder).n_reused == 2
    old, before = by_clip(clip_folder), contents(clip_folder / "processed" / "samples")
    (tmp_path / "disk").rename(tmp_path / "away")
    ((name, reason),) = process_folder(clip_folder).skipped
    assert name == "1.mp4" and "is a broken link to" in reason
    assert by_clip(clip_folder) == old and contents(clip_folder / "processed" / "samples") == before


def test_other_settings_are_rejected_and_nothing_changes(clip_folder, run_script):
    before = contents(clip_folder / "processed")
    for name, value, old in (("input_size", 48, 96), ("min_score", 0.5, 0.8), ("n_mfcc", 13, 40)):
        code, _, err = run_script(clip_folder, **{name: value})
        assert code == 2 and contents(clip_folder / "processed") == before
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert f"was made with data.{name} = {old}, the settings say {value}" in line


def test_overwrite_starts_over(clip_folder, run_script):
    old = by_clip(clip_folder)
    (clip_folder / "videos" / "1.mp4").unlink()
    code, out, _ = run_script(clip_folder, "--overwrite", input_size=48)
    assert code == 0 and "processing all clips again" in out and "already done" not in out
    new = by_clip(clip_folder)
    assert set(new) == {"2.mp4"} and new["2.mp4"]["file"] != old["2.mp4"]["file"]
    assert sample_names(clip_folder) == files_of(clip_folder), "no old sample stays"
    sample = read_sample(clip_folder / "processed" / new["2.mp4"]["file"])
    assert sample["crop"].shape[1:] == (48, 48)
    expected = sample_settings(settings_in(clip_folder, input_size=48).data)
    assert read_index(clip_folder / "processed" / INDEX_NAME)["settings"] == expected


def test_overwrite_with_the_same_settings_reuses_samples(clip_folder, run_script):
    old, before = records_of(clip_folder), contents(clip_folder / "processed" / "samples")
    code, out, _ = run_script(clip_folder, "--overwrite")
    assert code == 0 and "2 clips were already done" in out
    assert (
        records_of(clip_folder) == old and contents(clip_folder / "processed" / "samples") == before
    )


def test_an_early_interrupt_keeps_the_old_index(clip_folder, monkeypatch):
    """Ctrl+C before the first clip is processed must not empty the index."""
    old, before = records_of(clip_folder), contents(clip_folder / "processed" / "samples")

    def interrupt(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(build, "map_in_processes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        process_folder(clip_folder)
    assert (
        records_of(clip_folder) == old and contents(clip_folder / "processed" / "samples") == before
    )


def test_finished_clips_are_in_the_index_while_others_are_in_progress(
    clip_folder, in_process, monkeypatch
):
    """The index is saved every few seconds, not only at the end."""
    saved_clips = []

    def record_save(path, settings, samples):
        saved_clips.append([record["clip"] for record in samples])
        write_index(path, settings, samples)

    monkeypatch.setattr(build, "write_index", record_save)
    monkeypatch.setattr(build, "SAVE_EVERY_S", 0)
    shutil.rmtree(clip_folder / "processed")
    process_folder(clip_folder)
    assert saved_clips == [["1.mp4"], ["1.mp4", "2.mp4"], ["1.mp4", "2.mp4"]]


def test_a_large_index_is_extended_quickly(tmp_path, in_process):
    """No list is searched for each of its records."""
    config = settings_in(tmp_path)
    records = [
        {"id": f"{n}#0", "file": f"samples/{n}.npy", "clip": f"{n}.mp4", "speaker": "",
         "n_frames": 20, "notes": []}
        for n in range(20_000)
    ]  # fmt: skip
    (tmp_path / "processed").mkdir()
    write_index(tmp_path / "processed" / INDEX_NAME, sample_settings(config.data), records)
    start = time.process_time()  # whatever else the machine does
    assert process_clips(config, []).n_missing == 20_000
    assert time.process_time() - start < 5


def test_a_detector_that_cannot_start_ends_the_run_at_once(clip_folder, tmp_path, monkeypatch):
    from urllib.error import URLError

    def offline(*_, **__):
        raise URLError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    before = contents(clip_folder / "processed")
    with pytest.raises(DetectorError):
        process_folder(clip_folder, detector="face_alignment")
    assert contents(clip_folder / "processed") == before


def test_a_folder_that_cannot_be_created(tmp_path):
    touch(tmp_path / "file")
    config = settings_in(tmp_path, processed_dir=tmp_path / "file" / "processed")
    with pytest.raises(OutputError, match="processed"):
        process_clips(config, [])
