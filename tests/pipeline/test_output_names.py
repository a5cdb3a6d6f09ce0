"""Names of outputs: nothing that was made from another input is replaced without being asked."""

import csv
import json
from pathlib import Path

import pytest

from src.core.errors import MissingFileError, OutputError
from src.media.source_note import append_note, read_note, source_note
from src.pipeline import batch
from src.pipeline.engine import EngineSpec, LipSyncInference
from src.pipeline.new_speech_views import REPORT_NOTE, batch_outputs, check_report
from src.pipeline.output_names import OutputNames, Source, check_not_foreign
from src.pipeline.pairs import with_outputs
from src.pipeline.summary_table import read_summary
from src.report.presented_report import write_presented_report
from tests.support.made_details import made_result
from tests.support.media_files import ffmpeg, make_video
from tests.support.processing_helpers import write_variant

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


def touch_inputs(folder: Path, *names: str) -> list[Path]:
    """Files of different content."""
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path.relative_to(folder)))
    return paths


def make_output(path: Path, video: Path, audio: Path | None = None) -> Path:
    """What looks like the corrected video of a source."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\0\0\0\x08ftyp" + path.name.encode())
    append_note(path, source_note(video, audio))
    return path


def outputs_of(pairs, folder: Path, **options) -> list[str]:
    return [pair.output.name for pair in with_outputs(pairs, folder, **options)]


# --- choosing names


def test_names_in_an_empty_folder(tmp_path):
    anna, bob = touch_inputs(tmp_path, "anna/one.mp4", "bob/one.mp4")
    pairs = [(anna, None), (bob, None)]
    assert outputs_of(pairs, tmp_path / "out") == ["one_synced.mp4", "one_synced_2.mp4"]
    # No output takes the name of an input.
    (taken,) = touch_inputs(tmp_path, "out/one_synced.mp4")
    assert outputs_of([*pairs, (taken, None)], tmp_path / "out") == [
        "one_synced_2.mp4", "one_synced_3.mp4", "one_synced_synced.mp4"
    ]  # fmt: skip


def test_a_source_keeps_its_name_whatever_else_is_in_the_list(tmp_path):
    anna, bob, carl = touch_inputs(tmp_path, "anna/one.mp4", "bob/one.mp4", "carl/one.mp4")
    out = tmp_path / "out"
    make_output(out / "one_synced.mp4", anna)
    make_output(out / "one_synced_2.mp4", bob)
    assert outputs_of([(bob, None)], out) == ["one_synced_2.mp4"]
    assert outputs_of([(carl, None), (bob, None), (anna, None)], out) == [
        "one_synced_3.mp4", "one_synced_2.mp4", "one_synced.mp4"
    ]  # fmt: skip
    # With other audio it is another pair.
    (sound,) = touch_inputs(tmp_path, "one.wav")
    assert outputs_of([(anna, sound)], out) == ["one_synced_3.mp4"]
    (out / "one_synced.mp4").unlink()
    assert outputs_of([(bob, None), (carl, None)], out) == ["one_synced_2.mp4", "one_synced.mp4"]


def test_equal_pairs_keep_their_names(tmp_path):
    (anna,) = touch_inputs(tmp_path, "anna/one.mp4")
    out = tmp_path / "out"
    for name in ("one_synced.mp4", "one_synced_2.mp4"):
        make_output(out / name, anna)
    for _ in range(2):
        assert outputs_of([(anna, None)] * 2, out) == ["one_synced.mp4", "one_synced_2.mp4"]


def test_a_table_says_whose_an_output_is_where_its_container_cannot(tmp_path):
    anna, bob = touch_inputs(tmp_path, "anna/one.ts", "bob/one.ts")
    out = tmp_path / "out"
    touch_inputs(out, "one_synced.ts", "one_synced_2.ts")
    recorded = {(str(bob), ""): [out / "one_synced_2.ts"]}
    (pair,) = with_outputs([(bob, None)], out, recorded=recorded)
    assert pair.output == out / "one_synced_2.ts" and pair.overwrite
    (pair,) = with_outputs([(anna, None)], out, recorded=recorded)
    assert pair.output == out / "one_synced_3.ts" and not pair.overwrite


def test_overwrite_replaces_what_is_there(tmp_path):
    anna, bob = touch_inputs(tmp_path, "anna/one.mp4", "bob/one.mp4")
    out = tmp_path / "out"
    make_output(out / "one_synced.mp4", anna)
    assert outputs_of([(bob, None)], out, overwrite=True) == ["one_synced.mp4"]
    make_output(out / "one_synced_2.mp4", bob)
    assert outputs_of([(bob, None)], out, overwrite=True) == ["one_synced_2.mp4"]


def test_many_of_one_name_take_no_longer_each(tmp_path, monkeypatch):
    """Each note is read once, and each number is tried once."""
    from src.pipeline import output_names

    paths = touch_inputs(tmp_path, *(f"{n}/one.mp4" for n in range(300)))
    out = tmp_path / "out"
    for number in range(1, 101):
        name = "one_synced.mp4" if number == 1 else f"one_synced_{number}.mp4"
        make_output(out / name, paths[number])
    reads, real = [], read_note
    monkeypatch.setattr(output_names, "read_note", lambda path: reads.append(path) or real(path))
    names = OutputNames(paths)
    chosen = [names.choose(out / "one_synced.mp4", Source(path, None))[0] for path in paths]
    assert len(reads) == 100 and len(set(chosen)) == 300
    assert [path.name for path in chosen[:3]] == [
        "one_synced_101.mp4", "one_synced.mp4", "one_synced_2.mp4"
    ]  # fmt: skip


def test_foreign_files_are_refused(tmp_path):
    anna, bob = touch_inputs(tmp_path, "anna.mp4", "bob.mp4")
    output = make_output(tmp_path / "out.mp4", anna)
    check_not_foreign(output, Source(anna, None))
    check_not_foreign(tmp_path / "none.mp4", Source(bob, None))
    with pytest.raises(OutputError, match=r"out\.mp4 exists .*--overwrite"):
        check_not_foreign(output, Source(bob, None))
    for source in (Source(tmp_path / "none.mp4", None), Source(bob, tmp_path / "none.wav")):
        with pytest.raises(MissingFileError, match=r"none\.(mp4|wav)"):
            check_not_foreign(output, source)


def test_new_speeches_keep_their_names(tmp_path):
    one, other, video = touch_inputs(tmp_path, "a/say.wav", "b/say.wav", "me.mp4")
    make_output(tmp_path / "out" / "say_presented.mp4", video, one)
    listed = tmp_path / "list.csv"
    listed.write_text(f"video,audio\n{video},{other}\n{video},{one}\n")
    names = [output.name for _, _, output, _ in batch_outputs(listed, tmp_path / "out")]
    assert names == ["say_presented_2.mp4", "say_presented.mp4"]


def test_only_a_report_of_its_kind_is_replaced(tmp_path):
    page = tmp_path / "page.html"
    check_report(page, [], overwrite=False)
    page.write_text("<p>of the user</p>")
    with pytest.raises(OutputError, match=r"page\.html exists and is not such a report"):
        check_report(page, [], overwrite=False)
    check_report(page, [], overwrite=True)
    presented = {
        "output": "a.mp4", "duration_s": 50.0, "frames": 1250, "joins_per_s": 1.3, "judged": None,
        "real_confidence": 0.5, "weak_spans": [], "warnings": [], "closeness": None,
        "model": "m.pth",
    }  # fmt: skip
    write_presented_report(presented, page, note=REPORT_NOTE)
    check_report(page, [], overwrite=False)


# --- the command


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    """Scoring is scripted: 240 ms, and 0 for what is corrected. Two videos of one name."""

    def measure(self, video, audio=None, *_, **__):
        offset_ms = 0.0 if Path(video).name.startswith(".") else 240.0
        return made_result(video, audio or video, 3.6, offset_ms, 0.1)

    monkeypatch.setattr(LipSyncInference, "__init__", lambda *_: None)
    monkeypatch.setattr(LipSyncInference, "measure", measure)
    monkeypatch.setattr(EngineSpec, "build", lambda self: LipSyncInference())
    monkeypatch.setattr(batch, "map_in_processes", in_this_process)
    plain = make_video(tmp_path / "plain.mp4")
    return [write_variant(plain, tmp_path / name / "one.mp4", number)
            for number, name in enumerate(("anna", "bob"))]  # fmt: skip


def in_this_process(work, context, jobs, *_):
    for job in jobs:
        yield job, batch.process_pair(context[0].build(), job[1])


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_file_at_a_time(scripted, command, tmp_path):
    anna, bob = scripted
    folder = ("--set", f"paths.output_dir={tmp_path / 'out'}")
    outputs = []
    for video in (anna, bob, bob, anna):
        status, out, _ = command("--video", video, "--json", *folder)
        assert status == 0
        outputs.append(Path(json.loads(out)["output"]).name)
    assert outputs == ["one_synced.mp4", "one_synced_2.mp4", "one_synced_2.mp4", "one_synced.mp4"]
    assert set(files_in(tmp_path / "out")) == {"one_synced.mp4", "one_synced_2.mp4"}


@pytest.fixture
def two_tracks(scripted, tmp_path) -> Path:
    """A video with two audio tracks."""
    path = tmp_path / "two.mp4"
    ffmpeg("-i", scripted[0], "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", path)
    return path


def test_outputs_of_other_tracks_stay(two_tracks, command, tmp_path):
    folder = ("--set", f"paths.output_dir={tmp_path / 'out'}")
    outputs = []
    for track in ((), ("--audio-stream", 2), ("--audio-stream", 1), ("--audio-stream", 2)):
        status, out, _ = command("--video", two_tracks, "--json", *track, *folder)
        assert status == 0
        outputs.append(Path(json.loads(out)["output"]).name)
    assert outputs == ["two_synced.mp4", "two_synced_2.mp4"] * 2
    named = ("--video", two_tracks, "--output", tmp_path / "out" / "two_synced.mp4")
    status, _, err = command(*named, "--audio-stream", 2)
    assert status == 2 and "--overwrite" in err and len(err.splitlines()) == 1
    assert command(*named)[0] == 0


def test_a_batch_of_other_tracks_leaves_the_outputs_of_the_first(two_tracks, command, tmp_path):
    """Though the table says that they are of the same pair."""
    listed, out = tmp_path / "list.csv", tmp_path / "out"
    listed.write_text(f"video\n{two_tracks}\n")
    arguments = ("--batch", listed, "--output", out, "--checkpoint", "pretrained/best_model.pth")
    outputs = []
    for track in ((), ("--audio-stream", 2), ("--audio-stream", 2), (), ("--audio-stream", 1)):
        assert command(*arguments, *track)[0] == 0
        (row,) = read_summary(out / "summary.csv")
        outputs.append(Path(row["output"]).name)
    assert outputs == [
        "two_synced.mp4", "two_synced_2.mp4", "two_synced_2.mp4", "two_synced.mp4", "two_synced.mp4"
    ]  # fmt: skip
    # A new version of the video replaces its output, as before.
    write_variant(two_tracks, two_tracks, 7)
    assert command(*arguments)[0] == 0
    assert {path.name for path in out.glob("*.mp4")} == {"two_synced.mp4", "two_synced_2.mp4"}


def test_a_named_output_of_another_input_is_refused(scripted, command, tmp_path):
    anna, bob = scripted
    output = tmp_path / "out.mp4"
    assert command("--video", anna, "--output", output)[0] == 0
    before = output.read_bytes()
    status, out, err = command("--video", bob, "--output", output)
    assert (status, out) == (2, "") and err.splitlines() == [
        f"error: {output} exists and was not made from this input: choose another name, or replace "
        "it with --overwrite"
    ]
    assert output.read_bytes() == before
    assert command("--video", anna, "--output", output)[0] == 0  # of the same input
    assert command("--video", bob, "--output", output, "--overwrite")[0] == 0
    assert read_note(output) == source_note(bob, None)


def test_an_output_that_another_run_writes_meanwhile_is_refused(
    scripted, command, tmp_path, monkeypatch
):
    output, real = tmp_path / "out.mp4", LipSyncInference.measure

    def measure(self, video, *arguments, **options):
        output.write_bytes(b"of another run")
        return real(self, video, *arguments, **options)

    monkeypatch.setattr(LipSyncInference, "measure", measure)
    status, _, err = command("--video", scripted[0], "--output", output)
    assert status == 2 and "exists and was not made from this input" in err
    assert output.read_bytes() == b"of another run"


def test_a_batch_without_one_of_its_videos(scripted, command, tmp_path):
    """Its outputs and its lines in the table stay as they are."""
    anna, bob = scripted
    listed, out = tmp_path / "list.csv", tmp_path / "out"
    arguments = ("--batch", listed, "--output", out, "--checkpoint", "pretrained/best_model.pth")
    for videos in ([anna, bob], [bob], [anna]):
        with open(listed, "w", newline="") as file:
            csv.writer(file).writerows([("video",), *((video,) for video in videos)])
        assert command(*arguments)[0] == 0
        if len(videos) == 2:
            before = files_in(out)
        assert files_in(out) == before
    assert command(*arguments, "--set", "inference.max_offset_frames=20")[0] == 0
    rows = read_summary(out / "summary.csv")
    assert [(row["video"], Path(row["output"]).name) for row in rows] == [
        (str(anna), "one_synced.mp4"), (str(bob), "one_synced_2.mp4")
    ]  # fmt: skip
    assert read_note(out / "one_synced.mp4") == source_note(anna, None)
    assert (out / "one_synced_2.mp4").read_bytes() == before["one_synced_2.mp4"]
