"""What a later run does with what an earlier one made: adds, keeps, replaces, refuses."""

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
from src.preprocessing.track_file import read_sample
from tests.support.processing_helpers import (
    by_clip,
    contents,
    files_of,
    processed,
    records_of,
    sample_names,
    settings_in,
    touch,
    variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)


def test_new_clips_are_added(done, here, short_clip):
    old, before = by_clip(done), contents(done / "processed" / "samples")
    variant(short_clip, done / "videos" / "anna" / "0.mp4", 3)
    report = processed(done)
    assert report.reused == 2 and len(report.samples) == 3 and report.gone == 0
    new = by_clip(done)
    assert new == old | {"anna/0.mp4": new["anna/0.mp4"]}
    assert before.items() < contents(done / "processed" / "samples").items()


def test_only_what_changed_is_done_again(done, here, short_clip):
    """One clip's content changed, one sample was lost, one clip got a sound of its own."""
    for number in (3, 4):
        variant(short_clip, done / "videos" / f"{number}.mp4", number)
    processed(done)
    old = by_clip(done)
    variant(short_clip, done / "videos" / "2.mp4", 22)
    (done / "processed" / old["3.mp4"]["file"]).unlink()
    (done / "audios").mkdir()
    write_wav(done / "audios" / "4.wav", read_audio(short_clip))
    report, new = processed(done), by_clip(done)
    assert report.reused == 1 and not report.skipped
    assert new["1.mp4"] == old["1.mp4"] and new["3.mp4"] == old["3.mp4"]
    assert new["2.mp4"]["video_sha256"] != old["2.mp4"]["video_sha256"]
    assert new["4.mp4"]["audio_sha256"] != old["4.mp4"]["audio_sha256"] == ""
    for name in ("2.mp4", "4.mp4"):
        assert new[name]["file"] != old[name]["file"]
    assert sample_names(done) == files_of(done), "what was replaced is gone"


def test_samples_are_replaced_only_after_the_index_is_saved(done, here, short_clip, monkeypatch):
    before = contents(done / "processed")
    variant(short_clip, done / "videos" / "2.mp4", 22)

    def full(*_):
        raise OutputError("no room for the index")

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_index", full)
        with pytest.raises(OutputError, match="no room for the index"):
            processed(done)
    assert before.items() < contents(done / "processed").items(), "all that was there is there"
    records_of(done)
    processed(done)
    assert sample_names(done) == files_of(done) and len(files_of(done)) == 2


def test_clips_that_are_gone_stay_until_they_are_pruned(done, command_here):
    old = by_clip(done)
    (done / "videos" / "1.mp4").unlink()
    code, out, _ = command_here(done)
    assert code == 0 and by_clip(done) == old
    assert "1 clips of the index are not in the video folder any more and stay" in out
    assert out.splitlines()[-3] == "Done! 2 samples processed"
    code, out, _ = command_here(done, "--prune")
    assert code == 0 and by_clip(done) == {"2.mp4": old["2.mp4"]}
    assert sample_names(done) == {Path(old["2.mp4"]["file"]).name}
    assert "any more" not in out and out.splitlines()[-3] == "Done! 1 samples processed"


def test_a_clip_that_became_useless_is_dropped(done, here):
    old = by_clip(done)
    (done / "videos" / "1.mp4").write_text("no film any more")
    assert [name for name, _ in processed(done).skipped] == ["1.mp4"]
    assert by_clip(done) == {"2.mp4": old["2.mp4"]}
    assert sample_names(done) == files_of(done)


@pytest.mark.skipif(os.name == "nt", reason="links need special rights there")
def test_a_clip_on_a_disk_that_is_away_stays(done, here, tmp_path):
    """Its link leads nowhere for now: that is said, and costs no work."""
    (tmp_path / "disk").mkdir()
    shutil.move(done / "videos" / "1.mp4", tmp_path / "disk" / "1.mp4")
    os.symlink(tmp_path / "disk" / "1.mp4", done / "videos" / "1.mp4")
    assert processed(done).reused == 2
    old, before = by_clip(done), contents(done / "processed" / "samples")
    (tmp_path / "disk").rename(tmp_path / "away")
    ((name, reason),) = processed(done).skipped
    assert name == "1.mp4" and "leads nowhere" in reason
    assert by_clip(done) == old and contents(done / "processed" / "samples") == before


def test_other_settings_are_refused_and_nothing_is_touched(done, command_here):
    before = contents(done / "processed")
    for name, value, old in (("input_size", 48, 96), ("min_score", 0.5, 0.8), ("n_mfcc", 13, 40)):
        code, _, err = command_here(done, **{name: value})
        assert code == 2 and contents(done / "processed") == before
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert f"was made with data.{name} = {old}, the settings say {value}" in line


def test_overwrite_begins_anew(done, command_here):
    old = by_clip(done)
    (done / "videos" / "1.mp4").unlink()
    code, out, _ = command_here(done, "--overwrite", input_size=48)
    assert code == 0 and "all clips are processed anew" in out and "already done" not in out
    new = by_clip(done)
    assert set(new) == {"2.mp4"} and new["2.mp4"]["file"] != old["2.mp4"]["file"]
    assert sample_names(done) == files_of(done), "nothing of the old ones stays"
    sample = read_sample(done / "processed" / new["2.mp4"]["file"])
    assert sample["crop"].shape[1:] == (48, 48)
    expected = sample_settings(settings_in(done, input_size=48).data)
    assert read_index(done / "processed" / INDEX_NAME)["settings"] == expected


def test_overwrite_with_the_same_settings_does_nothing_twice(done, command_here):
    old, before = records_of(done), contents(done / "processed" / "samples")
    code, out, _ = command_here(done, "--overwrite")
    assert code == 0 and "2 clips were already done" in out
    assert records_of(done) == old and contents(done / "processed" / "samples") == before


def test_an_early_end_keeps_what_was_done(done, monkeypatch):
    """Ctrl+C before the first clip is looked at must not empty the index."""
    old, before = records_of(done), contents(done / "processed" / "samples")

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(build, "map_in_processes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        processed(done)
    assert records_of(done) == old and contents(done / "processed" / "samples") == before


def test_what_is_finished_is_in_the_index_while_the_rest_is_at_work(done, here, monkeypatch):
    """It is saved every few seconds, not only at the end."""
    saved = []

    def noting(path, settings, samples):
        saved.append([record["clip"] for record in samples])
        write_index(path, settings, samples)

    monkeypatch.setattr(build, "write_index", noting)
    monkeypatch.setattr(build, "SAVE_EVERY_S", 0)
    shutil.rmtree(done / "processed")
    processed(done)
    assert saved == [["1.mp4"], ["1.mp4", "2.mp4"], ["1.mp4", "2.mp4"]]


def test_a_large_index_is_extended_in_no_time(tmp_path, here):
    """Nothing is looked up in a list for each of its records."""
    config = settings_in(tmp_path)
    records = [
        {"id": f"{n}#0", "file": f"samples/{n}.npy", "clip": f"{n}.mp4", "speaker": "",
         "n_frames": 20, "notes": []}
        for n in range(20_000)
    ]  # fmt: skip
    (tmp_path / "processed").mkdir()
    write_index(tmp_path / "processed" / INDEX_NAME, sample_settings(config.data), records)
    began = time.monotonic()
    assert process_clips(config, []).gone == 20_000
    assert time.monotonic() - began < 5


def test_a_detector_that_cannot_start_ends_the_run_at_once(done, tmp_path, monkeypatch):
    from urllib.error import URLError

    def offline(*_, **__):
        raise URLError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    before = contents(done / "processed")
    with pytest.raises(DetectorError):
        processed(done, detector="face_alignment")
    assert contents(done / "processed") == before


def test_a_folder_that_cannot_be_made(tmp_path):
    touch(tmp_path / "file")
    config = settings_in(tmp_path, processed_dir=tmp_path / "file" / "processed")
    with pytest.raises(OutputError, match="processed"):
        process_clips(config, [])
