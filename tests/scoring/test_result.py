"""Results in numbers and words, from simulated evidence whose course is known."""

import json
import re

import pytest

from src.core.constants import FPS
from src.report.sentences import headline, sentences
from src.scoring import result as judgement
from src.scoring import verdict
from src.scoring.result import build_result
from tests.support.simulated_evidence import evidence

pytest_plugins = ("tests.support.evidence_fixtures",)


def judged(calibration, offset_at, seconds, **more):
    shown = evidence(offset_at, seconds, **more)
    return build_result([shown], seconds * FPS, calibration, 0.5)


def plain(value) -> bool:
    """Whether a value holds plain builtins only: numbers of NumPy break what reads details."""
    if isinstance(value, dict):
        return all(plain(part) for part in value.values())
    if isinstance(value, list):
        return all(plain(part) for part in value)
    return type(value) in (str, int, float, bool, type(None))


@pytest.mark.parametrize(
    "course", [lambda s: 60, lambda s: -100 + s, lambda s: 0 if s < 90 else 200]
)
def test_details_are_plain_and_can_be_put_into_words(calibration, course):
    score, details = judged(calibration, course, 180)
    assert plain(details) and plain(score)
    assert headline(details) and all(answer for _, answer in sentences(score, details))


def test_a_constant_offset(calibration):
    score, details = judged(calibration, lambda s: 160, 30, speech=0.8)
    assert score < 0.05 and details["status"] == "ok"
    assert details["offset_ms"] == pytest.approx(160, abs=8)
    assert details["timeline"]["kind"] == "constant" and details["timeline"]["drift_ppm"] is None
    assert len(details["offsets"]) == 15
    for stretch in details["offsets"][:-1]:
        if stretch["probability"] is not None:
            assert stretch["offset_ms"] == pytest.approx(160, abs=20)
    json.dumps(details, allow_nan=False)


def test_a_drift_is_found_though_its_mean_curve_is_blurred(calibration):
    _, details = judged(calibration, lambda s: -100 + s, 180)
    found = details["timeline"]
    assert details["status"] == "ok" and found["kind"] == "drift"
    assert found["drift_ppm"] == pytest.approx(1000, abs=30)
    (piece,) = found["pieces"]
    assert piece["offset_ms"] == pytest.approx(-100, abs=8)
    assert piece["end_offset_ms"] == pytest.approx(80, abs=8)
    assert details["offset_ms"] == pytest.approx(-10, abs=8)
    assert re.match(r"audio drifts by \+\d+ ppm, from -\d+ to \+\d+ ms: ", details["verdict"])
    times = [stretch["time_s"] for stretch in details["offsets"]]
    assert times == sorted(times) and times[0] == 2 and times[-1] <= 180


def test_a_drift_through_zero_is_in_sync_for_a_part_of_the_time(calibration):
    """One curve over all of it is highest at zero: it would be taken for in sync."""
    score, details = judged(calibration, lambda s: -225 + 2.5 * s, 180)
    assert details["timeline"]["kind"] == "drift" and abs(details["offset_ms"]) < 8
    # Its median is 0, but it is not in sync.
    assert details["verdict"].startswith("audio drifts by +")
    assert details["bt1359"] == "unacceptable"
    assert 2 * 40 / 450 < score < 0.6


def test_a_jump(calibration):
    score, details = judged(calibration, lambda s: 0 if s < 50 else 200, 80)
    assert score == pytest.approx(50 / 80, abs=0.1)
    assert details["timeline"]["kind"] == "jumps"
    assert [round(p["offset_ms"], -1) for p in details["timeline"]["pieces"]] == [0, 200]
    assert details["offset_ms"] == pytest.approx(0, abs=8), "most of the time"
    assert details["bt1359"] == "unacceptable"
    assert re.match(r"audio jumps \(.\d, \+\d+ ms\): not acceptable", details["verdict"])


@pytest.mark.parametrize("offset", [600, 610, -605])
def test_one_offset_out_of_reach_is_no_drift(calibration, offset):
    _, details = judged(calibration, lambda s: offset, 10, strength=0.5)
    assert details["status"] == "edge"
    assert details["undetermined"] == (
        "the offset may lie beyond what was looked at (±600 ms): raise inference.max_offset_frames"
    )


def test_what_is_minded_most_of_a_course():
    def course(kind, *ends):
        return {"kind": kind, "pieces": [{"offset_ms": one, "end_offset_ms": other}
                                         for one, other in ends]}  # fmt: skip

    assert judgement.worst_ms(-70.0, course("constant", (-70.0, -70.0))) == -70
    # Early sound is minded sooner.
    assert judgement.worst_ms(0.0, course("drift", (-120.0, 50.0))) == 50
    assert judgement.worst_ms(0.0, course("jumps", (20.0, 20.0), (-30.0, -30.0))) == -30


@pytest.mark.parametrize(
    ("chance", "said"), [(1.0, 0.99), (0.9999, 0.99), (0.29, 0.29), (0.57, 0.57), (0.0, 0.0)]
)
def test_a_chance_in_percent_is_never_certain(chance, said):
    assert verdict.capped_probability(chance) == said


def test_nothing_is_told_without_a_relation(calibration):
    _, details = judged(calibration, lambda s: 0, 20, strength=0.0)
    assert details["status"] == "weak" and details["timeline"] is None
    assert details["offset_ms"] is None and details["bt1359"] is None


def test_a_drift_out_of_reach_is_said_and_no_number_given(calibration):
    _, details = judged(calibration, lambda s: 3 * s, 400, speech=0.8)
    assert details["status"] == "edge"
    assert details["offset_ms"] is None and details["timeline"] is None
    said = re.fullmatch(
        r"the sound drifts by \+(\d+) ppm, and at (\d+) s further than was looked at \(±600 ms\): "
        r"set inference\.max_offset_frames=(\d+)",
        details["undetermined"],
    )
    assert int(said[1]) == pytest.approx(3000, abs=40) and int(said[2]) == pytest.approx(200, abs=6)
    assert 1200 / 40 <= int(said[3]) <= 1200 / 40 + 5


def test_what_cannot_be_set_is_not_asked_for(calibration, monkeypatch):
    monkeypatch.setattr(judgement, "MOST_FRAMES", 30)
    _, details = judged(calibration, lambda s: 3 * s, 400)
    assert details["status"] == "edge" and "cut the video into parts" in details["undetermined"]


def test_a_stretch_out_of_reach_is_named(calibration):
    """A jump of 900 ms: nothing of it can be seen, but that nothing is seen there."""
    _, details = judged(calibration, lambda s: 0 if s < 60 else 900, 100)
    assert details["status"] == "ok" and details["offset_ms"] == pytest.approx(0, abs=8)
    (note,) = details["notes"]
    assert note.startswith("60–100 s: mouth and sound do not belong together at this offset")
    _, most = judged(calibration, lambda s: 0 if s < 40 else 900, 100)
    assert most["status"] == "weak" and most["offset_ms"] is None and not most["notes"]
    _, jump = judged(calibration, lambda s: 0 if s < 60 else 300, 100)
    assert jump["timeline"]["kind"] == "jumps" and not jump["notes"]
