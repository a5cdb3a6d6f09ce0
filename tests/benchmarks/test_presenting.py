"""What is shown and measured for each stage, and the table; no video is made."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import presenting, presenting_videos
from benchmarks.presenting import (
    COLUMNS,
    Bench,
    Result,
    limited_subjects,
    make_trials,
    mean_figures,
    measure_person,
    own_trial,
    parse_arguments,
    print_rows,
    table_rows,
    write_json,
)
from benchmarks.presenting_inputs import Recording
from benchmarks.presenting_measures import MouthFigures
from benchmarks.presenting_videos import METHOD, ORDER, Subject, Trial, choose, figures_of
from src.core.errors import PresenterError
from src.presenter.base import plan_base
from src.presenter.judge import JudgeFigures
from src.presenter.speech import Speech
from tests.support.made_presenters import (
    base_video,
    footage_clip,
    footage_of,
    presenter_of,
)

N_FRAMES = 50
WAV = Path("new.wav")
JUDGED = JudgeFigures(confidence=0.4, offset_ms=-30.0, in_sync=0.5, windows=8)


def speech_of(n_frames: int = N_FRAMES) -> Speech:
    """Speech in all but the frames 20 … 39."""
    has_speech = np.ones(n_frames, bool)
    has_speech[20:40] = False
    return Speech(WAV, n_frames / 25, np.zeros((n_frames, 8), np.float32), has_speech)


def subject_of(seconds: float = 4.0) -> Subject:
    presenter = presenter_of(footage_clip(((0, seconds),), duration_s=10.0))
    base = base_video(np.arange(250) / 25)
    return Subject(
        "ann",
        presenter,
        footage_of(presenter),
        base,
        40.0,
        WAV,
        JUDGED,
        MouthFigures.empty(250),
        None,
        None,
    )


def trial_of(subject: Subject, closures_s=None) -> Trial:
    recording = Recording("new", speech_of(), closures_s)
    return Trial(recording, plan_base(subject.base, recording.speech.duration_s))


def bench_of(tmp_path: Path, **changes) -> Bench:
    values = {"tools": None, "judge": None, "folder": tmp_path, "seconds": 12.0,
              "recordings": [Recording("new", speech_of())]} | changes  # fmt: skip
    return Bench(**values)


# ---------------------------------------------------------------------------- one video


@pytest.mark.parametrize("stage", ["base_with_new_audio", "frozen", "loudness", "random", METHOD])
def test_each_stage_chooses_a_frame_for_each_frame(monkeypatch, stage):
    monkeypatch.setattr(presenting_videos, "read_audio", lambda path: np.ones(32000, np.float32))
    monkeypatch.setattr(presenting_videos, "find_own_clip", lambda *_: None)
    subject = subject_of()
    chosen = choose(stage, subject, trial_of(subject), False).frames
    assert chosen.shape == (N_FRAMES,) and chosen.dtype == np.int64
    assert chosen.min() >= 0 and chosen.max() < len(subject.footage.time)


def test_closures_are_handed_over_on_request_only(monkeypatch):
    given = []

    def choose_mouths(footage, speech, base, plan, closures_s, own_clip):
        given.append(closures_s)
        return SimpleNamespace(frames=np.zeros(N_FRAMES, int))

    monkeypatch.setattr(presenting_videos, "choose_mouths", choose_mouths)
    monkeypatch.setattr(presenting_videos, "find_own_clip", lambda *_: None)
    subject, spans = subject_of(), np.array([[0.1, 0.2]])
    for hand_over in (False, True):
        choose(METHOD, subject, trial_of(subject, spans), hand_over)
    assert given[0] is None and given[1] is spans


def test_figures_compare_with_the_frames_of_the_base():
    subject = subject_of()
    wave = np.sin(np.arange(250.0)) + 2
    subject.real.put(np.arange(250), MouthFigures(*[wave] * 5))
    opening = 3 * wave[:N_FRAMES]
    opening[23:37] = 1.0  # silent frames; up to 2.0 counts as shut
    opening[23:30] = 9.0
    made = MouthFigures(opening, *(share * wave[:N_FRAMES] for share in (0.5, 2, 1, 1)))
    judged = JUDGED.model_copy(update={"confidence": 0.3})
    figures = figures_of(
        subject, trial_of(subject, np.array([[1.3, 1.4], [0.1, 0.2]])), judged, made
    )
    assert figures["relative_confidence"] == pytest.approx(0.75)
    assert figures["absolute_offset_ms"] == 30
    assert figures["open_in_silence"] == pytest.approx(0.5)
    assert figures["closures"] == pytest.approx(0.5)
    assert (figures["sharpness"], figures["flicker"], figures["edge"]) == pytest.approx((0.5, 2, 1))
    assert 0 < figures["correlation"] < 1


# ---------------------------------------------------------------------------- one person


def test_own_audio_belongs_to_the_held_out_frames(tmp_path, monkeypatch):
    """Of 10 s, the last two; the audio is 40 ms early and is delayed."""
    (tmp_path / "audio").mkdir()
    monkeypatch.setattr(presenting, "read_audio", lambda path: np.arange(160000, dtype=np.float32))
    monkeypatch.setattr(presenting, "read_speech", lambda path, tools: speech_of())
    written = []
    monkeypatch.setattr(presenting, "write_wav", lambda path, samples: written.append(samples))
    trial = own_trial(subject_of(), bench_of(tmp_path))
    assert trial.is_own and trial.plan.numbers.tolist() == list(range(200, 250))
    np.testing.assert_allclose(trial.plan.times, np.arange(50) / 25)
    assert len(written[0]) == 32000 and written[0][0] == 8 * 16000 - 640
    shorter = own_trial(subject_of(), bench_of(tmp_path, seconds=1.2))
    assert shorter.plan.numbers.tolist() == list(range(200, 230))


def test_stages_that_cannot_be_measured_are_left_out(tmp_path, monkeypatch, capsys):
    def silent(path, tools):
        raise PresenterError("nobody speaks")

    monkeypatch.setattr(presenting, "read_speech", silent)
    monkeypatch.setattr(presenting, "own_trial", lambda subject, bench: "own")
    trials = make_trials(subject_of(), bench_of(tmp_path))
    assert list(trials) == [stage for stage in ORDER if stage != "real"]
    assert trials["own"] == ["own"] and trials["frozen"] == trials[METHOD]
    assert "ann, real: nobody speaks" in capsys.readouterr().err
    assert list(make_trials(subject_of(), bench_of(tmp_path, stages=("random",)))) == [
        "random", METHOD,
    ]  # fmt: skip


def test_less_footage_is_measured_where_there_is_more(capsys):
    limited = list(limited_subjects(subject_of(), (0.04, 1, 2, 4, 60)))
    assert [seconds for _, seconds in limited] == [1, 2], "there are 4 s"
    assert [len(subject.footage.time) for subject, _ in limited] == [25, 50]
    assert "ann, 0.04 s" in capsys.readouterr().err


def test_a_video_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    def measure_made(stage, subject, trial, judge, output, hand_over_closures):
        if stage == "random":
            raise PresenterError("no such piece")
        return {"confidence": float(len(subject.footage.time)), "path": str(output.name)}

    monkeypatch.setattr(presenting, "prepare", lambda name, videos, bench: subject_of())
    monkeypatch.setattr(presenting, "measure_base", lambda base, plans: MouthFigures.empty(250))
    monkeypatch.setattr(presenting, "measure_made", measure_made)
    bench = bench_of(tmp_path, stages=("random", "frozen"), footage_s=(1.0,))
    results = measure_person("ann", [], bench)
    label = "method, 1 s of footage"
    assert [result.stage for result in results] == ["frozen", METHOD, label]
    assert [result.figures["confidence"] for result in results] == [100, 100, 25]
    assert len({result.figures["path"] for result in results}) == 3, "each has a file of its own"
    assert "ann, random, new: no such piece" in capsys.readouterr().err


# ---------------------------------------------------------------------------- the table


RESULTS = [
    Result("ann", METHOD, "1", {"in_sync": 1.0, "windows": 30, "correlation": -0.2, "leak": None}),
    Result("ann", METHOD, "2", {"in_sync": 0.5, "windows": 10, "correlation": 0.4, "leak": 0.1}),
    Result("ann", "real", "own", {"in_sync": 1.0, "windows": 5}),
    Result("bo", METHOD, "1", {"in_sync": None, "windows": 0, "correlation": 0.1}),
]


def test_means_weight_windows_and_leave_out_what_is_not_known():
    means = mean_figures([result.figures for result in RESULTS[:2]])
    assert means["windows"] == 40 and means["in_sync"] == pytest.approx(0.875)
    assert means["correlation"] == pytest.approx(0.3) and means["leak"] == pytest.approx(0.1)
    assert means["psnr"] is None and list(means) == list(COLUMNS)


def test_one_row_for_each_person_and_stage(capsys, tmp_path):
    rows = table_rows(RESULTS)
    assert [row[:2] for row in rows] == [("ann", METHOD), ("ann", "real"), ("bo", METHOD)]
    print_rows(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| ann | method | – | – | 87.5% | 40 | – | 0.100 | 0.30 | – |")
    assert all(line.count("|") == len(COLUMNS) + 3 for line in lines)
    path = tmp_path / "numbers.json"
    write_json(path, RESULTS, {"text": True})
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["results"][1]["figures"]["leak"] == 0.1
    means = {row["stage"]: row["figures"] for row in content["rows"] if row["person"] == "mean"}
    assert means[METHOD]["windows"] == 40 and means[METHOD]["correlation"] == pytest.approx(0.2)


def parse(monkeypatch, *arguments: str):
    monkeypatch.setattr(sys, "argv", ["presenting.py", "--people", "people.csv", *arguments])
    return parse_arguments()


def test_arguments(monkeypatch):
    args = parse(monkeypatch, "--audio", "a.wav", "b.wav", "--stages", "real", "own",
                 "--seconds-of-footage", "15", "30")  # fmt: skip
    assert args.stages == ["real", "own"] and args.seconds_of_footage == [15, 30]
    assert parse(monkeypatch, "--text", "--stages").stages == []


@pytest.mark.parametrize(
    "arguments",
    [(), ("--audio", "a.wav", "--closures"), ("--text", "--speech-seconds", "0"),
     ("--text", "--seconds-of-footage", "15", "-1"), ("--text", "--stages", "best")],
)  # fmt: skip
def test_wrong_arguments_are_refused(monkeypatch, arguments):
    with pytest.raises(SystemExit):
        parse(monkeypatch, *arguments)
