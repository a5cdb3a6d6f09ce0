"""Stretches that say another offset than what is told."""

from src.scoring.local_offsets import local_outlier_notes, local_outliers

COURSE = {"kind": "constant", "drift_ppm": None, "pieces": [
    {"start_s": 0.0, "end_s": 60.0, "offset_ms": -40.0, "end_offset_ms": -40.0}]}  # fmt: skip


def stretches(*offsets, chance=0.95) -> list[dict]:
    return [{"time_s": 2.0 + 2 * n, "offset_ms": ms, "probability": ms and chance}
            for n, ms in enumerate(offsets)]  # fmt: skip


def test_those_in_a_row_are_told():
    shown = stretches(-38, -90, -42, 5, 9, 7, None, -41, -120, -130)
    (first, second) = local_outliers(shown, COURSE)
    assert (first.first_s, first.last_s, first.offset_ms) == (8.0, 12.0, 7)
    assert (second.first_s, second.last_s, second.offset_ms) == (18.0, 20.0, -125)
    (one, _) = local_outlier_notes(shown, COURSE)
    assert one == "8–12 s: these seconds show +7 ms by themselves, not the offset that is told"
    assert local_outlier_notes(shown, COURSE, mended=True)[0] == (
        "8–12 s: these seconds still measure +7 ms after the correction"
    )


def test_single_ones_doubtful_ones_and_opposite_ones_are_not():
    assert local_outliers(stretches(-40, 60, -40, -200, 60, -40), COURSE) == []
    assert local_outliers(stretches(60, 62, 64, chance=0.8), COURSE) == []
    assert local_outliers(stretches(-38, -41, -70, -10), COURSE) == []
    assert local_outliers(stretches(60, 62), None) == [] and local_outliers([], COURSE) == []


def test_a_drift_is_followed():
    line = {"kind": "drift", "drift_ppm": 10000.0, "pieces": [
        {"start_s": 0.0, "end_s": 20.0, "offset_ms": 0.0, "end_offset_ms": 200.0}]}  # fmt: skip
    assert local_outliers(stretches(20, 40, 60, 80, 100), line) == []
    assert len(local_outliers(stretches(20, 40, 20, 20, 20), line)) == 1
