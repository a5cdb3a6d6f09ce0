"""Many pairs: lists, names, what is processed again, and which audio belongs to which video."""

import csv
import json
from pathlib import Path

import pytest

from src.checkpoints.location import PRETRAINED
from src.core.config import Config, load_config
from src.core.errors import ConfigError, DatasetError, MissingFileError, OutputError
from src.core.workers import TimedOut
from src.pipeline import batch
from src.pipeline.batch import process_pair, ranked, run_batch
from src.pipeline.engine import EngineSpec, LipSyncInference
from src.pipeline.pairs import pairs_in, read_list, with_outputs
from src.pipeline.summary_table import COLUMNS, read_summary, values_of
from src.preprocessing import extract
from tests.support.inference_helpers import SEED, sha256, write_sound

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


class Scripted:
    """Scores by the name of the audio: (certainty, confidence), or what it raises."""

    def __init__(self, results: dict):
        self.results = results

    def compute_sync_score(self, video, audio=None, face="speaking"):
        result = self.results[audio]
        if isinstance(result, Exception):
            raise result
        probability, confidence = result
        return 0.5, {"offset_probability": probability, "confidence": confidence,
                     "undetermined": False, "verdict": "a verdict"}  # fmt: skip


# --- which audio belongs to a video


def test_best_match_comes_first(capsys):
    judge = Scripted({
        "poor.wav": (0.1, 0.1), "sure.wav": (0.9991, 0.4), "surer.wav": (0.9989, 0.6),
        "none.wav": MissingFileError("none.wav is missing"), "nobody.wav": (None, None),
        "odd.wav": ZeroDivisionError("x"),
    })  # fmt: skip
    found = ranked(judge, [("v.mp4", name) for name in judge.results])
    assert [result["audio"] for result in found][:3] == ["surer.wav", "sure.wav", "poor.wav"]
    messages = {result["audio"]: result["message"] for result in found}
    assert messages["none.wav"] == "none.wav is missing"
    assert messages["odd.wav"] == "ZeroDivisionError: x"
    err = capsys.readouterr().err  # a bug of the program is logged with its place, and nothing else
    assert err.startswith("unexpected error with v.mp4; please report it:\nTraceback")
    assert err.count("Traceback") == 1 and "in compute_sync_score" in err
    assert not any(result["success"] for result in found if result["audio"] in messages.keys() - {
        "poor.wav", "sure.wav", "surer.wav", "nobody.wav"})  # fmt: skip


# --- lists


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_list_with_a_header(tmp_path, encoding):
    path = tmp_path / "list.csv"
    path.write_text("name,Audio,Video\n一,甲.wav,甲.mp4\n\n二,,乙 乙.mp4\n", encoding=encoding)
    assert read_list(path) == [("甲.mp4", "甲.wav"), ("乙 乙.mp4", None)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["video{0}audio\r\n", "sep={0}\r\nvideo{0}audio\r\n", ""])
def test_a_list_as_spreadsheets_write_it(tmp_path, encoding, delimiter, header):
    if header.startswith("sep") and delimiter == "\t":
        header = header.partition("\n")[2]  # written for commas and semicolons only
    path = tmp_path / "list.csv"
    text = header.format(delimiter) + delimiter.join(["é.mp4", "é.wav"]) + "\r\n乙.mp4"
    path.write_bytes((text + delimiter + "\r\n").encode(encoding))
    assert read_list(path) == [("é.mp4", "é.wav"), ("乙.mp4", None)]


@pytest.mark.parametrize(("encoding", "name"), [("cp1252", "Müller"), ("gb18030", "王芳")])
def test_the_encoding_and_separator_in_which_the_files_exist_are_right(tmp_path, encoding, name):
    """Both encodings can read the names of the other one."""
    path = tmp_path / "list.csv"
    for file in (f"{name}; one, two.mp4", f"{name}.wav", "other.mp4"):
        (tmp_path / file).write_bytes(b"")
    path.write_bytes(f'"{name}; one, two.mp4";{name}.wav\r\nother.mp4;\r\n'.encode(encoding))
    assert read_list(path) == [
        (str(tmp_path / f"{name}; one, two.mp4"), str(tmp_path / f"{name}.wav")),
        (str(tmp_path / "other.mp4"), None),
    ]


def test_a_list_without_a_header_next_to_its_files(tmp_path, monkeypatch):
    path = tmp_path / "lists" / "list.csv"
    path.parent.mkdir()
    path.write_text('a.mp4,a.wav\n"b, c.mp4"\n')
    (path.parent / "a.mp4").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert read_list(path) == [(str(path.parent / "a.mp4"), "a.wav"), ("b, c.mp4", None)]
    (tmp_path / "a.mp4").write_bytes(b"")  # the one in the current folder goes first
    assert read_list(path)[0][0] == "a.mp4"


def test_invalid_lists(tmp_path):
    path = tmp_path / "list.csv"
    with pytest.raises(MissingFileError, match=r"list\.csv"):
        read_list(path)
    for content, why in (
        (b"", "is empty"), (b"\n\n", "is empty"), (b"video,audio\n,a.wav\n", "no video"),
        (b"\xff\xfe\xff", "is not a CSV table"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=why):
            read_list(path)


def test_folders_of_videos_and_audio(tmp_path):
    for name in ("v/anna/one.mp4", "v/two.mkv", "v/two.wav", "a/anna/one.flac", "a/other.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    videos = [str(tmp_path / "v/anna/one.mp4"), str(tmp_path / "v/two.mkv")]
    assert pairs_in(Config(), tmp_path / "v", None) == [(video, None) for video in videos]
    both = pairs_in(Config(), tmp_path / "v", tmp_path / "a")
    assert both == [(videos[0], str(tmp_path / "a/anna/one.flac")), (videos[1], None)]
    with pytest.raises(DatasetError, match="no video"):
        pairs_in(Config(), tmp_path / "a", None)


def test_a_missing_folder_is_named(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/one.mp4").write_bytes(b"")
    for wrong in (tmp_path / "nodir", tmp_path / "v/one.mp4", ""):
        with pytest.raises(MissingFileError, match=r"folder not found: .*--video-dir") as caught:
            pairs_in(Config(), wrong, None)
        assert str(wrong) in str(caught.value)
        with pytest.raises(MissingFileError, match=r"folder not found: .*--audio-dir"):
            pairs_in(Config(), tmp_path / "v", wrong)


def test_a_folder_without_audio_of_the_name_of_any_video_is_an_error(tmp_path):
    for name in ("v/one.mp4", "v/two.mp4", "a/other.wav", "a/one.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no audio file in .*such as one\.wav"):
        pairs_in(Config(), tmp_path / "v", tmp_path / "a")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """``folders(n, m)``: n videos, the first m with audio files; scoring is scripted."""

    def make(videos: int, sounds: int) -> tuple:
        for folder, suffix, count in (("v", "mp4", videos), ("a", "wav", sounds)):
            (tmp_path / folder).mkdir()
            for number in range(count):
                (tmp_path / folder / f"{number}.{suffix}").write_bytes(b"")
        return ("--video-dir", tmp_path / "v", "--audio-dir", tmp_path / "a", "--score-only",
                "--summary", tmp_path / "summary.csv", "--checkpoint", PRETRAINED)  # fmt: skip

    monkeypatch.setattr(EngineSpec, "build", lambda _: None)
    monkeypatch.setattr(batch, "map_in_processes", scripted_results)
    return make


def scripted_results(work, context, jobs, *_):
    for job in jobs:
        yield job, {"video": job[1].video, "audio": job[1].audio, "success": True, "output": None,
                    "score": 0.75, "message": "a verdict", "details": {"status": "ok"}}  # fmt: skip


def test_folder_errors_are_one_line_and_status_2(command, folders, tmp_path):
    arguments = folders(1, 0)
    for number, wrong in ((1, "nodir"), (3, "nodir"), (3, "a")):
        given = [*arguments[:number], tmp_path / wrong, *arguments[number + 1 :]]
        status, out, err = command(*given)
        assert (status, out, len(err.splitlines())) == (2, "", 1), err
        assert err.startswith("error: ") and str(tmp_path / wrong) in err
        assert arguments[number - 1] in err, "what to do"
    assert not (tmp_path / "summary.csv").exists()


def test_videos_without_audio_of_their_name_are_named(command, folders, tmp_path):
    status, out, err = command(*folders(9, 2), "--json")
    lines = [line for line in err.splitlines() if "their own" in line]
    assert status == 0 and lines == [
        f"7 of 9 videos have no audio file of the same name in {tmp_path / 'a'}; their own audio "
        "is used: 2.mp4, 3.mp4, 4.mp4, 5.mp4, 6.mp4, …"
    ]
    assert [row["audio"] is None for row in json.loads(out)] == [False] * 2 + [True] * 7


def test_no_line_where_every_video_has_audio(command, folders):
    status, _, err = command(*folders(2, 2))
    assert status == 0 and "their own" not in err


# --- all of it


@pytest.mark.slow
def test_a_batch_continues_where_it_was(trained, clips, tmp_path, command):
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
    assert status == 0 and [row["success"] for row in again] == [True] * 3
    assert again[0]["offset_ms"] == float(rows[0]["offset_ms"]) and again[0]["audio"] is None
    assert (sha256(outputs[0]), outputs[0].stat().st_mtime_ns) == before[0]
    assert sha256(outputs[1]) == before[1][0] and outputs[1].stat().st_mtime_ns != before[1][1]
    assert [tuple(row) for row in again] == [COLUMNS] * 3


@pytest.mark.slow
def test_matching_audio_is_found(judge, command, trained, clips, tmp_path):
    sounds = [write_sound(tmp_path / f"{seed}.wav", seed, 80) for seed in (SEED + 1, SEED)]
    video = clips(0)
    status, out, _ = command("--checkpoint", trained, "--find-audio", video, *sounds,
                             "--device", "cpu")  # fmt: skip
    assert status == 0 and out.splitlines()[1].startswith(f"  1. {sounds[1]}: offset +")
    videos = [clips(0, SEED + 1), video]
    found = judge.rank_videos(sounds[1], videos)
    assert found[0]["video"] == str(video)
    assert found[0]["details"]["offset_ms"] == pytest.approx(80, abs=20)


def test_the_faces_of_a_video_are_found_once_for_all_audio_files(
    talking_clip, tmp_path, monkeypatch
):
    """With the results of a measurement of each pair."""
    engine = LipSyncInference(PRETRAINED, device="cpu")
    audios = [write_sound(tmp_path / f"{seed}.wav", seed, 80) for seed in (1, 2)]
    audios += [talking_clip, tmp_path / "none.wav"]
    expected = {str(audio): engine.compute_sync_score(talking_clip, audio) for audio in audios[:3]}
    readings, real = [], extract.read_frames
    monkeypatch.setattr(
        extract, "read_frames", lambda path, *rest: readings.append(path) or real(path, *rest)
    )
    found = engine.rank_audio(talking_clip, audios)
    assert readings == [talking_clip]
    results = {result["audio"]: (result["score"], result["details"]) for result in found}
    assert results.pop(str(audios[3])) == (None, None) and "none.wav" in found[3]["message"]
    assert results == expected and found[0]["audio"] == str(talking_clip)


def test_another_table_is_not_overwritten(trained, tmp_path):
    table = tmp_path / "summary.csv"
    table.write_text("my,own,table\n1,2,3\n")
    judge = EngineSpec(trained, "cpu", None, ())
    with pytest.raises(DatasetError, match="not a summary"):
        run_batch(judge, with_outputs([("v.mp4", None)], None), table, workers=1)
    assert table.read_text() == "my,own,table\n1,2,3\n"


def test_a_pair_is_processed_again_with_other_settings(tmp_path, monkeypatch):
    """Also where they are changed in config.yaml, which nobody names."""
    worked, settings = [], [Config()]

    def results(work, judge, jobs, *_):
        for job in jobs:
            worked.append(job[1].video)
            yield job, {"video": job[1].video, "audio": None, "success": True, "output": None,
                        "score": 0.5, "message": "", "details": {"status": "ok"}}  # fmt: skip

    monkeypatch.setattr(batch, "map_in_processes", results)
    monkeypatch.setattr(batch, "load_config", lambda: settings[0])
    checkpoint = tmp_path / "model.pth"
    checkpoint.write_bytes(b"weights")
    pairs, table = with_outputs([("v.mp4", None)], None), tmp_path / "summary.csv"

    def again(**changed):
        worked.clear()
        spec = EngineSpec(
            checkpoint, **{"device": "cpu", "config": None, "overrides": ()} | changed
        )
        run_batch(spec, pairs, table, workers=1)
        return worked == ["v.mp4"]

    assert again() and not again()
    wider = settings[0].inference.model_copy(update={"max_offset_frames": 40})
    settings[0] = settings[0].model_copy(update={"inference": wider})
    assert again() and not again()
    assert again(overrides=("inference.max_offset_frames=9",)) and again(config=Config())
    checkpoint.write_bytes(b"others")
    assert again()


def test_a_pair_that_takes_too_long_fails_alone_and_is_tried_again(tmp_path, monkeypatch):
    """With more time, while what was done stays so."""
    worked = []

    def results(work, judge, jobs, _workers, timeout_s):
        for job in jobs:
            worked.append((Path(job[1].video).name, timeout_s))
            result = TimedOut(timeout_s)
            if timeout_s > 100 or job[1].video == "v.mp4":
                result = {"video": job[1].video, "audio": None, "success": True, "output": None,
                          "score": 0.5, "message": "", "details": {"status": "ok"}}  # fmt: skip
            yield job, result

    monkeypatch.setattr(batch, "map_in_processes", results)
    (tmp_path / "model.pth").write_bytes(b"weights")
    pairs, table = with_outputs([("v.mp4", None), ("long.mp4", None)], None), tmp_path / "t.csv"
    config = load_config(None, ["data.clip_timeout_s=60"])

    def run(config: Config | None = None, *overrides: str) -> list[dict]:
        worked.clear()
        spec = EngineSpec(tmp_path / "model.pth", "cpu", config, overrides)
        return run_batch(spec, pairs, table, workers=1)

    rows = run(config)
    assert worked == [("v.mp4", 60), ("long.mp4", 60)]
    assert [row["success"] for row in rows] == [True, False] and rows[1]["score"] is None
    assert "stopped after 60 s on long.mp4" in rows[1]["message"]
    assert all(row["success"] for row in run(config, "data.clip_timeout_s=200"))
    assert worked == [("long.mp4", 200)]
    assert all(row["success"] for row in run()) and worked[0] == ("v.mp4", 7200)


def test_names_and_texts_are_the_same_in_a_resumed_run(tmp_path, monkeypatch):
    """Line breaks of other kinds, and names that are no text; alike pairs count each."""
    names = ["a\u2028b.mp4", "a\x0bb.mp4", "b\udc80.mp4", "c.mp4", "c.mp4"]

    def results(work, judge, jobs, *_):
        for job in jobs:
            yield job, {"video": job[1].video, "audio": None, "success": True, "output": None,
                        "score": 0.5, "message": "v\nw", "details": {"status": "ok"}}  # fmt: skip

    monkeypatch.setattr(batch, "map_in_processes", results)
    (tmp_path / "model.pth").write_bytes(b"weights")
    judge = EngineSpec(tmp_path / "model.pth", "cpu", None, ())
    found, steps = [], []
    for _ in range(2):
        pairs = with_outputs([(name, None) for name in names], None)
        found.append(run_batch(judge, pairs, tmp_path / "t.csv", workers=1,
                               progress=lambda: steps.append(1)))  # fmt: skip
    assert found[0] == found[1] and [row["video"] for row in found[0]] == names
    assert {row["message"] for row in found[0]} == {"v\nw"} and len(steps) == 2 * len(names)


def test_a_line_of_the_table_as_values():
    line = dict.fromkeys(COLUMNS, "") | {
        "video": "v.mp4", "success": "True", "score": "0.25", "offset_ms": "-40.0", "message": "m",
        "offset_probability": "nan",
    }  # fmt: skip
    values = values_of(line)
    assert tuple(values) == COLUMNS and values["success"] is True
    assert (values["score"], values["offset_ms"]) == (0.25, -40.0)
    for name in ("audio", "output", "status", "verdict", "offset_probability"):
        assert values[name] is None
    other = values_of(line | {"success": "TRUE", "score": "0,25", "offset_ms": "inf"})
    assert (other["success"], other["score"], other["offset_ms"]) == (True, None, None)
    assert values_of(line | {"success": "False"})["success"] is False


@pytest.mark.slow
def test_processes_take_settings_of_their_own(trained, clips, tmp_path):
    """``--config`` with many pairs: settings hold lists, which have no hash."""
    config = load_config(None, ["inference.max_offset_frames=8"])
    judge = EngineSpec(trained, "cpu", config, ())
    work = with_outputs([(clips(240), None)], None, face="speaking")
    (row,) = run_batch(judge, work, tmp_path / "summary.csv", workers=1)
    assert row["success"] is True and row["offset_ms"] == pytest.approx(240, abs=20)


# --- the same from Python


@pytest.mark.slow
def test_batch_of_the_api_continues_where_it_was(trained, clips, tmp_path, monkeypatch):
    judge = LipSyncInference(trained, device="cpu")
    table, pairs = tmp_path / "summary.csv", [(clips(-240), None), (tmp_path / "none.mp4", None)]
    steps = []

    def steady(work):
        for number, pair in enumerate(work):
            steps.append(number)
            yield pair

    first = judge.batch_process(
        pairs, tmp_path / "out", steady, summary=table, face="largest", fit="trim"
    )
    assert steps == [0, 1] and [result["success"] for result in first] == [True, False]
    assert first[0]["details"]["status"] == "ok" and first[1]["details"] is None
    assert [row["success"] for row in read_summary(table)] == ["True", "False"]
    before = Path(first[0]["output"]).stat().st_mtime_ns
    again = judge.batch_process(pairs, tmp_path / "out", summary=table, face="largest", fit="trim")
    # The table holds no details; what could not be read is tried again.
    assert again == [first[0] | {"details": None}, first[1]]
    assert Path(first[0]["output"]).stat().st_mtime_ns == before
    # Other arguments are other work, and a table that is not asked for is not looked at.
    options = []
    monkeypatch.setattr(batch, "process_pair", lambda _, pair: options.append(pair.options) or {
        "video": pair.video, "audio": None, "success": False, "output": None, "score": None,
        "details": None, "message": "why"})  # fmt: skip
    judge.batch_process(pairs[:1], tmp_path / "out", summary=table, face="0", fit="trim")
    judge.batch_process(pairs[:1], tmp_path / "out")
    assert options == [(("face", "0"), ("fit", "trim")), (("face", "speaking"), ("fit", "pad"))]


@pytest.mark.slow
def test_api_and_command_share_their_tables(trained, clips, tmp_path, command):
    judge, table = LipSyncInference(trained, device="cpu"), tmp_path / "summary.csv"
    (found,) = judge.batch_process([(clips(-240), None)], score_only=True, summary=table)
    assert found["output"] is None and found["details"]["status"] == "ok"
    before = table.read_bytes()
    (tmp_path / "list.csv").write_text(f"{clips(-240)}\n")
    status, out, _ = command("--checkpoint", trained, "--batch", tmp_path / "list.csv", "--json",
                             "--score-only", "--summary", table, "--device", "cpu")  # fmt: skip
    (row,) = json.loads(out)
    assert status == 0 and table.read_bytes() == before
    assert {key: row[key] for key in ("score", "message", "success", "output", "audio")} == {
        key: found[key] for key in ("score", "message", "success", "output", "audio")
    }


@pytest.mark.slow
def test_the_api_works_in_processes_too(trained, clips, tmp_path):
    """The model comes from its file again, with the same settings, and details come back."""
    overrides = ["inference.max_offset_frames=8"]
    judge = LipSyncInference(trained, "cpu", overrides=overrides)
    pairs = [(clips(-240), None), (tmp_path / "none.mp4", None), (clips(160), None)]
    there = set(tmp_path.iterdir())
    here = judge.batch_process(pairs, score_only=True)
    apart = judge.batch_process(pairs, score_only=True, workers=2)
    assert set(tmp_path.iterdir()) == there
    for one, other in zip(here, apart, strict=True):
        assert one.keys() == other.keys() and one["video"] == other["video"]
        assert one["message"] == other["message"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)  # of other threads
    assert [result["success"] for result in apart] == [True, False, True]
    assert apart[0]["details"]["curve"]["offset_ms"] == list(range(-320, 321, 10))


def test_invalid_arguments_are_rejected_before_anything_is_scored(judge, tmp_path):
    for wrong in ({"workers": -1}, {"workers": 1.5}, {"fit": "stretch"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            judge.batch_process([("v.mp4", None)], tmp_path / "out", **wrong)
    with pytest.raises(OutputError, match=r"must end in one of \.csv"):
        judge.batch_process([("v.mp4", None)], tmp_path / "out", summary=tmp_path / "table.txt")
    (tmp_path / "mine.csv").write_text("my,own,table\n1,2,3\n")
    with pytest.raises(DatasetError, match="not a summary"):
        judge.batch_process([("v.mp4", None)], score_only=True, summary=tmp_path / "mine.csv")
    assert not (tmp_path / "out").exists()


def test_a_pair_that_cannot_be_used_has_a_message(judge, tmp_path):
    (pair,) = with_outputs([(tmp_path / "none.mp4", None)], tmp_path)
    result = process_pair(judge, pair)
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
