"""Results as types and in words, from simulated evidence whose offset over time is known."""

import json
import re

import pytest
from pydantic import ValidationError

from src.core.constants import FPS
from src.core.notes import LocalOutlier, note_text
from src.report.sentences import headline, sentences
from src.scoring import result_builder
from src.scoring.perception import capped_probability, format_score, worst_ms
from src.scoring.result import SyncResult
from src.scoring.result_builder import build_result
from src.scoring.result_types import DriftOutOfRange, Edge, OffsetResult, TooShort, Weak
from src.scoring.words import reason_text, verdict_text
from tests.support.made_details import made_result, made_timeline, undetermined_result
from tests.support.simulated_evidence import evidence

pytest_plugins = ("tests.support.evidence_fixtures",)


def build(calibration, offset_at, seconds, **options) -> OffsetResult:
    track = evidence(offset_at, seconds, **options)
    return build_result([track], seconds * FPS, calibration, 0.5)


def complete(result: OffsetResult) -> SyncResult:
    """The result of a clip, with made tracks."""
    clip = made_result("v.mp4", "v.mp4", 2.0)
    return SyncResult(**dict(clip) | dict(result))


def is_plain(value) -> bool:
    """Whether a value holds plain builtins only: numbers of NumPy break what reads details."""
    if isinstance(value, dict):
        return all(is_plain(part) for part in value.values())
    if isinstance(value, list):
        return all(is_plain(part) for part in value)
    return type(value) in (str, int, float, bool, type(None))


@pytest.mark.parametrize(
    "offset_at", [lambda s: 60, lambda s: -100 + s, lambda s: 0 if s < 90 else 200]
)
def test_details_are_plain_and_can_be_put_into_words(calibration, offset_at):
    result = complete(build(calibration, offset_at, 180))
    assert is_plain(result.to_dict()) and is_plain(result.score)
    assert headline(result) and all(answer for _, answer in sentences(result))


def test_constant_offset(calibration):
    result = build(calibration, lambda s: 160, 30, speech=0.8)
    assert result.score < 0.05 and result.status == "ok"
    assert result.offset_ms == pytest.approx(160, abs=8)
    assert result.timeline.kind == "constant" and result.timeline.drift_ppm is None
    assert len(result.offsets) == 15
    for span in result.offsets[:-1]:
        if span.probability is not None:
            assert span.offset_ms == pytest.approx(160, abs=20)
    json.dumps(complete(result).to_dict(), allow_nan=False)


def test_drift_is_measured_though_its_mean_curve_is_blurred(calibration):
    result = build(calibration, lambda s: -100 + s, 180)
    assert result.status == "ok" and result.timeline.kind == "drift"
    assert result.timeline.drift_ppm == pytest.approx(1000, abs=30)
    (segment,) = result.timeline.segments
    assert segment.offset_ms == pytest.approx(-100, abs=8)
    assert segment.end_offset_ms == pytest.approx(80, abs=8)
    assert result.offset_ms == pytest.approx(-10, abs=8)
    verdict = verdict_text(result)
    assert re.match(r"audio drifts by \+\d+ ppm, from -\d+ to \+\d+ ms: ", verdict)
    times = [span.time_s for span in result.offsets]
    assert times == sorted(times) and times[0] == 2 and times[-1] <= 180


def test_drift_through_zero_is_in_sync_for_part_of_the_time(calibration):
    """One curve over all of it is highest at zero: it would be taken for in sync."""
    result = build(calibration, lambda s: -225 + 2.5 * s, 180)
    assert result.timeline.kind == "drift" and abs(result.offset_ms) < 8
    # Its median is 0, but it is not in sync.
    assert verdict_text(result).startswith("audio drifts by +")
    assert result.bt1359 == "unacceptable"
    assert 2 * 40 / 450 < result.score < 0.6


def test_jump(calibration):
    result = build(calibration, lambda s: 0 if s < 50 else 200, 80)
    assert result.score == pytest.approx(50 / 80, abs=0.1)
    assert result.timeline.kind == "jumps"
    assert [round(part.offset_ms, -1) for part in result.timeline.segments] == [0, 200]
    assert result.offset_ms == pytest.approx(0, abs=8), "most of the time"
    assert result.bt1359 == "unacceptable"
    assert re.match(r"audio jumps \(.\d, \+\d+ ms\): not acceptable", verdict_text(result))


@pytest.mark.parametrize("offset", [600, 610, -605])
def test_constant_offset_out_of_range_is_no_drift(calibration, offset):
    result = build(calibration, lambda s: offset, 10, strength=0.5)
    assert result.status == "edge" and result.reason == Edge(limit_ms=600)
    assert reason_text(result.reason) == (
        "the offset may be outside the search range (±600 ms): increase inference.max_offset_frames"
    )


def test_worst_offset_of_a_timeline():
    constant = made_timeline("constant", (0, 1, -70.0, -70.0))
    assert worst_ms(-70.0, constant) == -70 and worst_ms(-70.0, None) == -70
    # Early audio is noticed sooner.
    assert worst_ms(0.0, made_timeline("drift", (0, 1, -120.0, 50.0), ppm=1.0)) == 50
    jumps = made_timeline("jumps", (0, 1, 20.0, 20.0), (1, 2, -30.0, -30.0))
    assert worst_ms(0.0, jumps) == -30


@pytest.mark.parametrize(
    ("probability", "printed"),
    [(1.0, 0.99), (0.9999, 0.99), (0.29, 0.29), (0.57, 0.57), (0.0, 0.0)],
)
def test_percent_is_never_rounded_up_to_certainty(probability, printed):
    assert capped_probability(probability) == printed


@pytest.mark.parametrize(
    ("score", "digits", "text"),
    [(1.0, 2, "0.99"), (0.976, 2, "0.97"), (0.99999, 4, "0.9999"), (0.97656, 4, "0.9766"),
     (0.0, 4, "0.0000"), (None, 2, "–"), (None, 4, "–")],
)  # fmt: skip
def test_scores_are_never_rounded_up_to_certainty(score, digits, text):
    assert format_score(score, digits) == text


def test_no_offset_without_a_correlation(calibration):
    result = build(calibration, lambda s: 0, 20, strength=0.0)
    assert result.status == "weak" and result.undetermined and result.reason == Weak()
    assert result.offset_ms is None and result.bt1359 is None and result.timeline is None


def test_no_offset_without_enough_speech(calibration):
    result = build(calibration, lambda s: 0, 1, speech=0.0)
    assert (result.status, result.reason.code, result.score) == ("no_speech", "no_speech", None)
    track = evidence(lambda s: 0, 1)
    track.usable[4:] = False
    result = build_result([track], FPS, calibration, 0.5)
    assert result.status == "too_short" and result.reason == TooShort(required_ms=480)
    assert reason_text(result.reason) == (
        "too little speech while a face is visible: at least 480 ms required"
    )


def test_drift_out_of_range_has_a_reason_and_no_offset(calibration):
    result = build(calibration, lambda s: 3 * s, 400, speech=0.8)
    assert result.status == "edge"
    assert result.offset_ms is None and result.timeline is None
    reason = result.reason
    assert (reason.code, reason.limit_ms) == ("drift_out_of_range", 600)
    assert reason.drift_ppm == pytest.approx(3000, abs=40)
    assert reason.time_s == pytest.approx(200, abs=6)
    assert 1200 / 40 <= reason.max_offset_frames <= 1200 / 40 + 5
    assert reason_text(reason) == (
        f"audio drifts by {reason.drift_ppm:+.0f} ppm and leaves the search range (±600 ms) at "
        f"{reason.time_s:.0f} s: set inference.max_offset_frames={reason.max_offset_frames}"
    )


def test_a_range_that_cannot_be_set_is_not_asked_for(calibration, monkeypatch):
    monkeypatch.setattr(result_builder, "MAX_OFFSET_FRAMES", 30)
    reason = build(calibration, lambda s: 3 * s, 400).reason
    assert isinstance(reason, DriftOutOfRange) and reason.max_offset_frames is None
    assert reason_text(reason) == (
        f"audio drifts by {reason.drift_ppm:+.0f} ppm and exceeds ±600 ms at "
        f"{reason.time_s:.0f} s: split the video"
    )


def test_a_span_out_of_range_is_noted(calibration):
    """A jump of 900 ms: only that nothing matches there can be seen."""
    result = build(calibration, lambda s: 0 if s < 60 else 900, 100)
    assert result.status == "ok" and result.offset_ms == pytest.approx(0, abs=8)
    (note,) = result.notes
    assert note.model_dump() == {
        "code": "mismatched_span", "start_s": 60.0, "end_s": 100.0, "limit_ms": 600,
    }  # fmt: skip
    assert note_text(note) == (
        "60–100 s: lips and audio do not match at this offset; another voice, or an offset outside "
        "the search range (±600 ms: inference.max_offset_frames)"
    )
    mostly = build(calibration, lambda s: 0 if s < 40 else 900, 100)
    assert mostly.status == "weak" and mostly.offset_ms is None and not mostly.notes
    jump = build(calibration, lambda s: 0 if s < 60 else 300, 100)
    assert jump.timeline.kind == "jumps" and not jump.notes


# --- the type


def test_details_give_the_result_again():
    note = LocalOutlier(start_s=2.0, end_s=6.0, offset_ms=80.0, after_correction=False)
    result = made_result("v.mp4", "a.wav", 2.0).model_copy(update={"notes": [note]})
    for each in (result, undetermined_result(result)):
        details = json.loads(json.dumps(each.to_dict()))
        assert SyncResult.from_dict(each.score, details) == each
    assert "pieces" in result.to_dict()["timeline"] and "score" not in result.to_dict()


def test_file_names_that_are_not_utf_8_are_kept():
    """As Python decodes them: with surrogates."""
    details = made_result("v.mp4", "a.wav", 4.0).to_dict()
    details |= {"video": "na\udcefve.mp4", "audio": "\udcff.wav"}
    details["model"] = details["model"] | {"file": "\udce9.pth"}
    assert SyncResult.from_dict(0.5, details).to_dict() == details


@pytest.mark.parametrize(
    ("offset_ms", "perceived", "verdict"),
    [
        (89.47, "detectable", "audio leads by 89 ms: noticeable, but acceptable (ITU-R BT.1359)"),
        (39.97, "undetectable", "in sync (offset +40 ms): not noticeable (ITU-R BT.1359)"),
    ],
)
def test_verdict_is_of_the_offset_before_it_is_rounded(offset_ms, perceived, verdict):
    """89.47 is reported as 89.5, which would round to 90 ms: not acceptable."""
    result = made_result("v.mp4", "a.wav", 4.0).model_copy(
        update={
            "offset_ms": offset_ms,
            "bt1359": perceived,
            "timeline": made_timeline("constant", (0.0, 4.0, offset_ms, offset_ms)),
        }
    )
    details = result.to_dict("en")
    assert details["offset_ms"] == round(offset_ms, 1) and details["verdict"] == verdict


def test_results_cannot_be_changed():
    result = made_result("v.mp4", "a.wav", 2.0)
    for owner, name in ((result, "score"), (result.curve, "similarity"), (result.model, "file")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(owner, name, None)


@pytest.mark.parametrize(
    "change",
    [
        {"score": 1.5}, {"status": "fine"}, {"offset_ms": None}, {"reason": Weak()},
        {"status": "weak"}, {"offset_probability": float("nan")}, {"faces": 0}, {"timeline": None},
        {"notes": ["a sentence"]}, {"notes": [{"code": "unknown"}]},
        {"status": "weak", "offset_ms": None, "offset_frames": None, "bt1359": None,
         "timeline": None},
    ],
)  # fmt: skip
def test_no_result_is_made_of_impossible_values(change):
    with pytest.raises(ValidationError):
        SyncResult(**dict(made_result("v.mp4", "a.wav", 2.0)) | change)


def test_words_are_made_in_the_language_asked_for():
    result = made_result("v.mp4", "a.wav", 2.0)
    note = LocalOutlier(start_s=2.0, end_s=6.0, offset_ms=80.0, after_correction=True)
    noted = result.model_copy(update={"notes": [note]})
    silent = undetermined_result(result)
    assert verdict_text(result) == "audio lags by 200 ms: not acceptable (ITU-R BT.1359)"
    assert verdict_text(silent) == "undetermined: no speech while a face is visible"
    assert noted.to_dict()["notes"][0]["text"] == "2–6 s: still +80 ms after correction"
    assert "音频滞后 200 毫秒" in verdict_text(result, "zh_CN")
    assert "音频滞后 200 毫秒" in result.to_dict("zh_CN")["verdict"]
    assert silent.to_dict("zh_CN")["reason"]["text"] == "人脸可见时没有语音"
    assert noted.to_dict("zh_CN")["notes"][0]["text"] == "2–6 秒：校正后仍有 +80 毫秒"
    assert "Audio" in headline(result) and "音频" in headline(result, "zh_CN")
