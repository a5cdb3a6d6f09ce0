"""A watched folder: what counts as arrived, what is written of it, and what is not done again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from src.core.errors import ConfigError, DatasetError, InUseError, MissingFileError, OutputError
from src.core.locks import locked
from src.pipeline import watch as watching
from src.pipeline.batch import process_pair
from src.pipeline.summary_table import read_summary
from src.pipeline.watch import LOCK_NAME, WatchedFolder, watch
from tests.support.inference_helpers import sha256
from tests.support.limits import HANG_S, wait_for
from tests.support.made_details import made_details
from tests.support.media_files import ffmpeg
from tests.support.training_helpers import assert_one_line, call_script
from tools.synthetic_talker import make_clip

ROOT = Path(__file__).resolve().parents[2]
SEED, SECONDS, SHIFT_MS = 90_008, 6.0, -240
TOO_HIGH_MS = (30, 80)  # of the pretrained model on drawn faces (docs/answers.md)


class Scripted:
    """Corrects by writing the video's own bytes; ``faults`` says what it raises for which name."""

    def __init__(self, faults=None):
        self.faults, self.done = faults or {}, []

    def correct_sync(self, video, audio, output, *, overwrite):
        self.done.append((Path(video).name, audio and Path(audio).name))
        if fault := self.faults.get(Path(video).name):
            raise fault
        details = made_details(video, audio or video, 2.0)
        measured = {"score_before": 0.02, "details": details, "notes": ["a note"]}
        if Path(video).name.startswith("silent"):
            return False, "nothing changed: no speech", measured | {"notes": []}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(Path(video).read_bytes())
        return True, "corrected by -200 ms", measured


@pytest.fixture
def folders(tmp_path):
    """IN and OUT; OUT is not there yet."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture(scope="module")
def two_videos(tmp_path_factory) -> tuple[bytes, bytes]:
    """Which of its tracks an output is of is asked only of what can be read."""
    paths = [tmp_path_factory.mktemp("videos") / f"{seconds}.mp4" for seconds in (1, 2)]
    for path, seconds in zip(paths, (1, 2), strict=True):
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=25", "-f", "lavfi", "-i", "sine",
               "-t", seconds, path)  # fmt: skip
    return paths[0].read_bytes(), paths[1].read_bytes()


def run_once(folder: WatchedFolder, engine: Scripted, looks: int = 2) -> list[str]:
    """Look, process what is ready, and return the lines about it."""
    lines = []

    def process(pairs, finish):
        for pair in pairs:
            finish(pair, process_pair(engine, pair))

    for _ in range(looks):
        if arrivals := folder.look():
            folder.process(arrivals, process, lines.append)
    return lines


def put(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rows_of(target: Path) -> dict[str, dict]:
    return {Path(row["video"]).name: row for row in read_summary(target / "summary.csv")}


# ---------------------------------------------------------------------------- what has arrived


def test_a_file_is_taken_when_two_looks_see_the_same(folders):
    source, target = folders
    folder, path = WatchedFolder(source, target), put(source / "a.mp4", b"begun")
    assert folder.look() == []
    path.write_bytes(b"begun, and more")
    assert folder.look() == []  # it grew
    (arrival,) = folder.look()
    assert arrival.video == str(path.resolve()) and arrival.audio is None
    os.utime(path, ns=(0, 1))  # of the same size, but written to
    assert folder.look() == []
    assert len(folder.look()) == 1


def test_names_of_unfinished_files_are_not_looked_at_until_they_are_renamed(folders):
    source, target = folders
    for name in ("a.mp4.part", "a.part.mp4", ".a.mp4", "~a.mp4", "a.mp4.crdownload", "a.tmp",
                 "a.mp4~", "a.txt", ".hidden/a.mp4"):  # fmt: skip
        put(source / name)
    put(source / "empty.mp4", b"")
    (source / "folder.mp4").mkdir()
    folder = WatchedFolder(source, target)
    assert [folder.look(), folder.look()] == [[], []]
    (source / "a.mp4.part").rename(source / "a.mp4")
    folder.look()
    assert [Path(arrival.video).name for arrival in folder.look()] == ["a.mp4"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_opened_is_waited_for_and_named_once(folders, capsys):
    source, target = folders
    path = put(source / "a.mp4")
    path.chmod(0)
    folder = WatchedFolder(source, target)
    assert [folder.look() for _ in range(3)] == [[], [], []]
    assert capsys.readouterr().err.count("waiting for") == 1
    path.chmod(0o600)
    folder.look()
    assert len(folder.look()) == 1


def test_another_program_that_keeps_a_file_to_itself_is_waited_for(folders, capsys, monkeypatch):
    """As on Windows, where a file that is being copied cannot be opened."""
    source, target = folders
    path, is_busy, real_open = put(source / "a.mp4"), True, open

    def opened(name, *arguments, **options):
        if is_busy and Path(name).name == path.name:
            raise PermissionError(13, "used by another process")
        return real_open(name, *arguments, **options)

    monkeypatch.setattr(watching, "open", opened, raising=False)
    folder = WatchedFolder(source, target)
    assert [folder.look() for _ in range(3)] == [[], [], []]
    assert capsys.readouterr().err == f"waiting for {path.resolve()}: used by another process\n"
    is_busy = False
    folder.look()
    assert len(folder.look()) == 1


def test_an_audio_file_of_the_same_name_beside_a_video_is_its_audio(folders):
    source, target = folders
    for name in ("a.mp4", "a.m4a", "a.wav", "s/a.mp4", "b.mp4", "s/b.wav", "c.wav"):
        put(source / name)
    engine = Scripted()
    run_once(WatchedFolder(source, target), engine)
    assert engine.done == [("a.mp4", "a.wav"), ("b.mp4", None), ("a.mp4", None)]
    put(source / "s/a.wav", b"later")  # it is another pair from then on
    run_once(folder := WatchedFolder(source, target), engine)
    assert engine.done[3:] == [("a.mp4", "a.wav")]
    assert run_once(folder, engine) == []


def test_a_folder_that_is_gone_for_a_while_is_said_once(folders, capsys):
    source, target = folders
    put(source / "a.mp4")
    folder, engine = WatchedFolder(source, target), Scripted()
    run_once(folder, engine)
    source.rename(source.with_name("elsewhere"))
    assert run_once(folder, engine, looks=3) == []
    source.with_name("elsewhere").rename(source)
    put(source / "b.mp4")
    assert len(run_once(folder, engine)) == 1  # only the new one
    assert capsys.readouterr().err.splitlines() == [
        f"{source.resolve()} is gone: waiting until it is back", f"{source.resolve()} is back",
    ]  # fmt: skip


# ---------------------------------------------------------------------------- what is written


def test_results_lie_in_the_same_subfolders_and_sources_stay(folders):
    source, target = folders
    put(source / "a.mp4", b"one")
    put(source / "day 2/甲.mxf", b"two")
    put(source / "silent.mov")
    before = {name: sha256(source / name) for name in names_in(source)}
    lines = run_once(WatchedFolder(source, target), Scripted())
    assert lines == [
        "a.mp4: corrected by -200 ms; a note", "silent.mov: nothing changed: no speech",
        f"{Path('day 2/甲.mxf')}: corrected by -200 ms; a note",
    ]  # fmt: skip
    assert names_in(target) == {
        "summary.csv", "a_synced.mp4", "a.mp4.json", "silent.mov.json", "day 2/甲_synced.mkv",
        "day 2/甲.mxf.json",
    }  # fmt: skip
    assert (target / "day 2/甲_synced.mkv").read_bytes() == b"two"
    assert {name: sha256(source / name) for name in names_in(source)} == before
    result = json.loads((target / "a.mp4.json").read_bytes())
    assert result["video"] == str((source / "a.mp4").resolve()) and result["audio"] is None
    assert result["success"] and result["output"] == str((target / "a_synced.mp4").resolve())
    assert (result["message"], result["notes"]) == ("corrected by -200 ms", ["a note"])
    assert result["details"]["offset_ms"] == -200
    silent = json.loads((target / "silent.mov.json").read_bytes())
    assert (silent["success"], silent["output"]) == (False, None)
    rows = rows_of(target)
    assert rows["a.mp4"]["message"] == "corrected by -200 ms; a note"
    assert [rows[name]["success"] for name in ("a.mp4", "silent.mov", "甲.mxf")] == [
        "True", "False", "True",
    ]  # fmt: skip


def test_two_videos_whose_outputs_would_have_one_name(folders):
    source, target = folders
    put(source / "a.mxf", b"one")
    put(source / "a.vob", b"two")
    run_once(WatchedFolder(source, target), Scripted())
    contents = {(target / name).read_bytes() for name in ("a_synced.mkv", "a_synced_2.mkv")}
    assert contents == {b"one", b"two"}


def test_files_of_others_stay(folders):
    source, target = folders
    for name in ("a_synced.mp4", "a.mp4.json"):
        put(target / name, b"mine")
    put(source / "a.mp4")
    run_once(WatchedFolder(source, target), Scripted())
    assert {(target / name).read_bytes() for name in ("a_synced.mp4", "a.mp4.json")} == {b"mine"}
    assert (target / "a_synced_2.mp4").read_bytes() == b"video"
    assert json.loads((target / "a.mp4_2.json").read_bytes())["success"]


# ---------------------------------------------------------------------------- once, and again


def test_a_restart_does_nothing_again_but_what_was_replaced(folders, two_videos):
    source, target = folders
    put(source / "a.mp4", two_videos[0])
    put(source / "b.mp4", two_videos[0])
    engine = Scripted()
    run_once(WatchedFolder(source, target), engine)
    (target / "b_synced.mp4").unlink()  # it was fetched
    again = WatchedFolder(source, target)
    assert run_once(again, engine, looks=4) == [] and len(engine.done) == 2
    put(source / "a.mp4", two_videos[1])
    assert len(run_once(again, engine)) == 1
    assert (target / "a_synced.mp4").read_bytes() == two_videos[1]
    assert names_in(target) == {"summary.csv", "a_synced.mp4", "a.mp4.json", "b.mp4.json"}
    assert len(read_summary(target / "summary.csv")) == 2
    assert run_once(WatchedFolder(source, target), engine) == []


def test_an_earlier_version_that_is_put_back_is_done_again(folders, two_videos):
    source, target = folders
    path, engine = put(source / "a.mp4", two_videos[0]), Scripted()
    os.utime(path, ns=(0, 1))
    folder = WatchedFolder(source, target)
    run_once(folder, engine)
    put(path, two_videos[1])
    run_once(folder, engine)
    put(path, two_videos[0])
    os.utime(path, ns=(0, 1))
    assert len(run_once(folder, engine)) == 1
    assert (target / "a_synced.mp4").read_bytes() == two_videos[0]


def test_a_damaged_file_is_said_once_and_tried_again_when_it_changes(folders):
    source, target = folders
    put(source / "a.mp4", b"damaged")
    put(source / "b.mp4")
    engine = Scripted({"a.mp4": MissingFileError("cannot read a.mp4: damaged")})
    lines = run_once(folder := WatchedFolder(source, target), engine)
    assert lines == [
        "a.mp4: cannot read a.mp4: damaged", "b.mp4: corrected by -200 ms; a note",
    ]  # fmt: skip
    result = json.loads((target / "a.mp4.json").read_bytes())
    assert result == {"video": str((source / "a.mp4").resolve()), "audio": None,
                      "error": "cannot read a.mp4: damaged"}  # fmt: skip
    assert rows_of(target)["a.mp4"]["message"] == "cannot read a.mp4: damaged"
    assert run_once(folder, engine) == run_once(WatchedFolder(source, target), engine) == []
    engine.faults.clear()
    put(source / "a.mp4", b"repaired")
    assert len(run_once(WatchedFolder(source, target), engine)) == 1
    assert json.loads((target / "a.mp4.json").read_bytes())["success"]
    assert (target / "a_synced.mp4").read_bytes() == b"repaired"


def test_what_the_file_is_not_to_blame_for_is_tried_again_by_the_next_run(folders):
    source, target = folders
    put(source / "a.mp4")
    engine = Scripted({"a.mp4": OutputError("cannot write: the disk is full")})
    folder = WatchedFolder(source, target)
    assert len(run_once(folder, engine, looks=4)) == 1
    engine.faults.clear()
    assert run_once(WatchedFolder(source, target), engine) == [
        "a.mp4: corrected by -200 ms; a note"
    ]


def test_a_file_that_changes_while_it_is_processed_is_done_again(folders, two_videos):
    source, target = folders
    path = put(source / "a.mp4", two_videos[0])

    class Late(Scripted):
        def correct_sync(self, *arguments, **options):
            result = super().correct_sync(*arguments, **options)
            if len(self.done) == 1:
                put(path, two_videos[1])
            return result

    engine, folder = Late(), WatchedFolder(source, target)
    run_once(folder, engine, looks=4)
    assert len(engine.done) == 2
    assert (target / "a_synced.mp4").read_bytes() == two_videos[1]


def test_a_file_that_is_removed_before_its_turn_leaves_no_error(folders):
    source, target = folders
    path = put(source / "a.mp4")
    folder, engine = WatchedFolder(source, target), Scripted()
    folder.look()
    arrivals = folder.look()
    path.unlink()
    engine.faults["a.mp4"] = MissingFileError("a.mp4 is missing")

    def process(pairs, finish):
        for pair in pairs:
            finish(pair, process_pair(engine, pair))

    lines = []
    folder.process(arrivals, process, lines.append)
    assert lines == [] and names_in(target) == set()


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(("source", "target"), [("a", "a"), ("a", "a/out"), ("a/in", "a")])
def test_a_folder_in_the_other_one_is_refused(tmp_path, source, target):
    (tmp_path / source).mkdir(parents=True)
    with pytest.raises(ConfigError, match="neither folder may be in the other"):
        WatchedFolder(tmp_path / source, tmp_path / target)
    assert names_in(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_the_other_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "in")
    with pytest.raises(ConfigError, match="neither folder may be in the other"):
        WatchedFolder(tmp_path / "in", tmp_path / "out")


def test_wrong_arguments_are_one_line(tmp_path, folders):
    source, target = map(str, folders)
    assert_one_line(call_script("src/serve.py", "--watch", tmp_path / "none", target), "none")
    assert_one_line(call_script("src/serve.py", "--watch", source, source), "neither folder")
    for arguments, said in (
        (["--watch", source, target, "--port", "80", "--token", "x"], "remove --port, --token"),
        (["--watch", source, target, "--interval", "0"], "--interval: must be"),
        (["--watch", source, target, "--interval", "nan"], "--interval: must be"),
        (["--interval", "5"], "--interval: only with --watch"),
    ):  # fmt: skip
        done = call_script("src/serve.py", *arguments)
        assert done.returncode == 2 and said in done.stderr.splitlines()[-1]
    put(Path(target) / "summary.csv", b"my,own\n1,2\n")
    with pytest.raises(DatasetError, match="name another folder for the results"):
        WatchedFolder(source, target)


def test_a_second_watcher_of_the_same_results_is_refused(folders):
    source, target = folders
    folder = WatchedFolder(source, target)
    with (
        locked(target / LOCK_NAME, target),
        pytest.raises(InUseError, match=r"out is in use by .* use another folder"),
    ):
        watch(folder, None, print, interval_s=0.5)


def test_the_loop_looks_again_after_an_interval(folders, monkeypatch):
    """Until it is interrupted; the lock goes with it."""
    source, target = folders
    put(source / "a.mp4")
    waits, lines = [], []

    class Spec:
        def build(self):
            pass

        def count_workers(self, n):
            return 1

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    def run_batch(spec, pairs, summary, workers, finished):
        assert summary is None and workers == 1
        for pair in pairs:
            finished(pair, process_pair(Scripted(), pair))

    monkeypatch.setattr(watching.time, "sleep", wait)
    monkeypatch.setattr(watching, "run_batch", run_batch)
    with pytest.raises(KeyboardInterrupt):
        watch(WatchedFolder(source, target), Spec(), lines.append, interval_s=0.5)
    assert waits == [0.5] * 3
    assert lines[0].startswith("Watching ") and lines[1:] == ["a.mp4: corrected by -200 ms; a note"]
    assert names_in(target) == {"summary.csv", "a_synced.mp4", "a.mp4.json"}


# ---------------------------------------------------------------------------- a real one


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_real_clip_is_corrected_and_a_damaged_one_is_said(folders, tmp_path):
    source, target = folders
    made = tmp_path / "made.mp4"
    make_clip(made, SEED, SECONDS, shift_ms=SHIFT_MS)
    command = [sys.executable, "-m", "src.serve", "--watch", source, target, "--interval", "0.2",
               "--checkpoint", "pretrained/best_model.pth", "--device", "cpu"]  # fmt: skip
    with subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as running:  # fmt: skip
        assert running.stdout.readline().startswith("Watching ")
        put(source / "text.mp4", b"no video " * 1000)
        content = made.read_bytes()
        with open(source / "晚.mp4.part", "wb") as file:
            file.write(content)
        (source / "晚.mp4.part").rename(source / "晚.mp4")
        wait_for(lambda: (target / "晚.mp4.json").exists() and (target / "text.mp4.json").exists())
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=HANG_S)
    assert running.returncode == 130 and err.strip().endswith("stopped")
    assert "Traceback" not in err
    result = json.loads((target / "晚.mp4.json").read_bytes())
    schema = json.loads((ROOT / "docs/result.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(result)
    assert result["success"]
    assert TOO_HIGH_MS[0] <= result["details"]["offset_ms"] - SHIFT_MS <= TOO_HIGH_MS[1]
    assert "error" in json.loads((target / "text.mp4.json").read_bytes())
    assert {name for name in names_in(target) if "text" not in name} == {
        "summary.csv", "晚_synced.mp4", "晚.mp4.json",
    }  # fmt: skip
