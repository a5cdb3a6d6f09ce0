"""The gate before publishing: what passes, what fails and why, and the exit status."""

import json

import pytest

from src.pipeline.gate import exit_status, judge
from tests.support.training_helpers import call_script


def scored(score=0.95, offsets=(0.0, 0.0), **details):
    piece = {"start_s": 0, "end_s": 5, "offset_ms": offsets[0], "end_offset_ms": offsets[1]}
    details = {"undetermined": False, "verdict": "in sync", "duration_s": 5.0,
               "timeline": {"kind": "constant", "pieces": [piece]}} | details  # fmt: skip
    return {"video": "v.mp4", "audio": None, "score": score, "details": details, "message": ""}


@pytest.mark.parametrize(
    ("result", "verdict", "words"),
    [
        (scored(), "pass", ""),
        (scored(0.8, (60, 60)), "pass", ""),  # the limits themselves pass
        (scored(0.79), "fail", "score below 0.8"),
        (scored(0.9, (-61, -61)), "fail", "offset beyond ±60 ms"),
        (scored(0.9, (0, 100)), "fail", "offset beyond"),  # a drift, where it is largest
        (scored(0.1, (200, 200)), "fail", "score below 0.8, offset beyond ±60 ms"),
        (scored(None, undetermined=True, verdict="no speech"), "fail", "no speech"),
        ({"video": "v", "audio": "a", "score": None, "details": None, "message": "gone"},
         "unreadable", "gone"),
    ],
)  # fmt: skip
def test_a_pair_is_held_against_the_limits(result, verdict, words):
    judged = judge(result, 0.8, 60)
    assert judged.verdict == verdict
    assert words in judged.why and bool(words) == bool(judged.why)


def test_the_status_says_the_worst():
    passed, failed = judge(scored(), 0.8, 60), judge(scored(0.1), 0.8, 60)
    unreadable = judge(scored() | {"details": None}, 0.8, 60)
    assert [exit_status(results) for results in (
        [passed], [passed, failed], [failed, unreadable, passed], [],
    )] == [0, 1, 2, 0]  # fmt: skip


def test_the_command_reads_a_list_and_exits_with_the_status(talking_clip, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"video,audio\n{talking_clip},\n{tmp_path / 'gone.mp4'},\n")
    done = call_script("tools/gate.py", listed, "--device", "cpu", "--json")
    assert done.returncode == 2, done.stderr
    printed = json.loads(done.stdout)
    assert printed["unreadable"] == 1 and printed["fail"] == 1
    assert [pair["verdict"] for pair in printed["pairs"]] == ["fail", "unreadable"]
    assert "gone.mp4" in printed["pairs"][1]["why"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["no.csv"], "no.csv is missing"), (["l.csv", "--min-score", "80"], "from 0 to 1"),
     (["l.csv", "--max-offset-ms", "-1"], "0 or more"),
     (["l.csv", "--max-offset-ms", "nan"], "0 or more")],
)  # fmt: skip
def test_bad_input_is_said_in_one_line(arguments, words):
    done = call_script("tools/gate.py", *arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
