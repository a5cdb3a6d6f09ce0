"""Many pairs: lists, names, what is worked on again, and which sound belongs to which video."""

import csv
import json

import pytest

from src import batch
from src.batch import (
    COLUMNS,
    Judge,
    done,
    pairs_in,
    ranked,
    read_list,
    read_summary,
    run_batch,
    with_outputs,
)
from src.config import Config
from src.errors import DatasetError, MissingFileError
from tests.inference_helpers import SEED, sha256, write_sound

pytest_plugins = ("tests.training_fixtures", "tests.inference_fixtures")


class Scripted:
    """Judges by the name of the sound: (chance, confidence), or what it raises."""

    def __init__(self, results: dict):
        self.results = results

    def compute_sync_score(self, video, audio=None, face="speaking"):
        found = self.results[audio]
        if isinstance(found, Exception):
            raise found
        chance, confidence = found
        return 0.5, {"offset_probability": chance, "confidence": confidence, "undetermined": None,
                     "verdict": "a verdict"}  # fmt: skip


# --- which sound belongs to a video


def test_the_best_sound_comes_first():
    judge = Scripted({
        "poor.wav": (0.1, 0.1), "sure.wav": (0.9991, 0.4), "surer.wav": (0.9989, 0.6),
        "none.wav": MissingFileError("none.wav is missing"), "nobody.wav": (None, None),
        "odd.wav": ZeroDivisionError("x"),
    })  # fmt: skip
    found = ranked(judge, [("v.mp4", name) for name in judge.results])
    assert [result["audio"] for result in found][:3] == ["surer.wav", "sure.wav", "poor.wav"]
    told = {result["audio"]: result["message"] for result in found}
    assert told["none.wav"] == "none.wav is missing" and told["odd.wav"] == "ZeroDivisionError: x"
    assert not any(result["success"] for result in found if result["audio"] in told.keys() - {
        "poor.wav", "sure.wav", "surer.wav", "nobody.wav"})  # fmt: skip


# --- lists


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_list_with_a_head(tmp_path, encoding):
    path = tmp_path / "list.csv"
    path.write_text("name,Audio,Video\n一,甲.wav,甲.mp4\n\n二,,乙 乙.mp4\n", encoding=encoding)
    assert read_list(path) == [("甲.mp4", "甲.wav"), ("乙 乙.mp4", None)]


def test_a_list_without_a_head_and_files_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "lists" / "list.csv"
    path.parent.mkdir()
    path.write_text('a.mp4,a.wav\n"b, c.mp4"\n')
    (path.parent / "a.mp4").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert read_list(path) == [(str(path.parent / "a.mp4"), "a.wav"), ("b, c.mp4", None)]
    (tmp_path / "a.mp4").write_bytes(b"")  # the one in the current folder goes first
    assert read_list(path)[0][0] == "a.mp4"


def test_lists_that_are_none(tmp_path):
    path = tmp_path / "list.csv"
    with pytest.raises(MissingFileError, match=r"list\.csv"):
        read_list(path)
    for content, why in (
        (b"", "lists nothing"), (b"\n\n", "lists nothing"), (b"video,audio\n,a.wav\n", "no video"),
        (b"\xff\xfe\xff\x00", "no CSV"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=why):
            read_list(path)


def test_folders_of_videos_and_sounds(tmp_path):
    for name in ("v/anna/one.mp4", "v/two.mkv", "v/two.wav", "a/anna/one.flac", "a/other.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    videos = [str(tmp_path / "v/anna/one.mp4"), str(tmp_path / "v/two.mkv")]
    assert pairs_in(Config(), tmp_path / "v", None) == [(video, None) for video in videos]
    both = pairs_in(Config(), tmp_path / "v", tmp_path / "a")
    assert both == [(videos[0], str(tmp_path / "a/anna/one.flac")), (videos[1], None)]
    with pytest.raises(DatasetError, match="no video"):
        pairs_in(Config(), tmp_path / "a", None)


# --- all of it


@pytest.mark.slow
def test_a_batch_goes_on_where_it_was(trained, clips, tmp_path, command):
    good = clips(-240)
    sound = write_sound(tmp_path / "sound.wav", SEED, 160)
    listed = tmp_path / "list.csv"
    with open(listed, "w", newline="") as file:
        csv.writer(file).writerows(
            [("video", "audio"), (good, ""), (tmp_path / "none.mp4", ""), (clips(0), sound)]
        )
    arguments = ("--checkpoint", trained, "--batch", listed, "--output", tmp_path / "out",
                 "--device", "cpu", "--workers", "1")  # fmt: skip
    status, out, _ = command(*arguments)
    assert status == 1 and "2 of 3 pairs" in out
    table = tmp_path / "out" / "summary.csv"
    rows = read_summary(table)
    assert [row["success"] for row in rows] == ["True", "False", "True"]
    assert float(rows[0]["offset_ms"]) == pytest.approx(-240, abs=20)
    assert float(rows[2]["offset_ms"]) == pytest.approx(160, abs=20)
    assert "none.mp4" in rows[1]["message"] and rows[1]["status"] == ""
    outputs = [tmp_path / "out" / f"{clips(shift).stem}_synced.mp4" for shift in (-240, 0)]
    assert [rows[0]["output"], rows[2]["output"]] == list(map(str, outputs))
    before = [(sha256(path), path.stat().st_mtime_ns) for path in outputs]
    # What is done stays; what could not be read is there now; an output that is gone comes back.
    (tmp_path / "none.mp4").write_bytes(clips(160).read_bytes())
    outputs[1].unlink()
    status, out, _ = command(*arguments, "--json")
    again = json.loads(out)
    assert status == 0 and [row["success"] for row in again] == ["True"] * 3
    assert (sha256(outputs[0]), outputs[0].stat().st_mtime_ns) == before[0]
    assert sha256(outputs[1]) == before[1][0] and outputs[1].stat().st_mtime_ns != before[1][1]
    assert [tuple(row) for row in again] == [COLUMNS] * 3


@pytest.mark.slow
def test_the_right_sound_is_found(judge, command, trained, clips, tmp_path):
    sounds = [write_sound(tmp_path / f"{seed}.wav", seed, 80) for seed in (SEED + 1, SEED)]
    video = clips(0)
    status, out, _ = command("--checkpoint", trained, "--find-audio", video, *sounds,
                             "--device", "cpu")  # fmt: skip
    assert status == 0 and out.splitlines()[1].startswith(f"  1. {sounds[1]}: offset +")
    videos = [clips(0, SEED + 1), video]
    found = judge.rank_videos(sounds[1], videos)
    assert found[0]["video"] == str(video)
    assert found[0]["details"]["offset_ms"] == pytest.approx(80, abs=20)


def test_another_table_is_not_written_over(trained, tmp_path):
    table = tmp_path / "summary.csv"
    table.write_text("my,own,table\n1,2,3\n")
    judge = Judge(trained, "cpu", None, ())
    with pytest.raises(DatasetError, match="not a summary"):
        run_batch(judge, with_outputs([("v.mp4", None)], None), table, 1)
    assert table.read_text() == "my,own,table\n1,2,3\n"


def test_with_other_settings_a_pair_is_judged_again(tmp_path, monkeypatch):
    """Also where they are changed in config.yaml, which nobody names."""
    worked, settings = [], [Config()]

    def results(work, judge, jobs, workers):
        for job in jobs:
            worked.append(job[1].video)
            yield job, {"video": job[1].video, "audio": None, "success": True, "output": None,
                        "score": 0.5, "message": "", "details": {"status": "ok"}}  # fmt: skip

    monkeypatch.setattr(batch, "results_of", results)
    monkeypatch.setattr(batch, "load_config", lambda: settings[0])
    checkpoint = tmp_path / "model.pth"
    checkpoint.write_bytes(b"weights")
    pairs, table = with_outputs([("v.mp4", None)], None), tmp_path / "summary.csv"

    def again(**changed):
        worked.clear()
        run_batch(Judge(checkpoint, **{"device": "cpu", "config": None, "overrides": ()} | changed),
                  pairs, table, 1)  # fmt: skip
        return worked == ["v.mp4"]

    assert again() and not again()
    wider = settings[0].inference.model_copy(update={"max_offset_frames": 40})
    settings[0] = settings[0].model_copy(update={"inference": wider})
    assert again() and not again()
    assert again(overrides=("inference.max_offset_frames=9",)) and again(config=Config())
    checkpoint.write_bytes(b"others")
    assert again()


def test_a_pair_that_cannot_be_used_is_told(judge, tmp_path):
    (pair,) = with_outputs([(tmp_path / "none.mp4", None)], tmp_path)
    result = done(judge, pair)
    assert not result["success"] and "none.mp4" in result["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "l.csv", "--audio", "a.wav"], ["--video", "v.mp4", "--audio-dir", "x"],
        ["--video", "v.mp4", "--summary", "s.csv"], ["--find-audio", "v.mp4"],
        ["--find-audio", "v.mp4", "a.wav", "--output", "x.mp4"], [],
        ["--video", "v.mp4", "--score-only", "--fit", "trim"],
        ["--video", "v.mp4", "--batch", "l.csv"], ["--batch", "l.csv", "--workers", "-1"],
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(command, arguments):
    status, out, err = command(*arguments)
    assert status == 2 and out == "" and "error: " in err
