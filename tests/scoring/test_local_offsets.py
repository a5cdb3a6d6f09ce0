"""Spans whose own offset differs from the reported one."""

from src.core.notes import note_text
from src.scoring.local_offsets import local_outliers
from src.scoring.result_types import LocalOffset
from tests.support.made_details import made_timeline

CONSTANT = made_timeline("constant", (0.0, 60.0, -40.0, -40.0)).to_timeline()


def spans(*offsets, probability=0.95) -> list[LocalOffset]:
    return [
        LocalOffset(time_s=2.0 + 2 * n, offset_ms=ms, probability=ms and probability)
        for n, ms in enumerate(offsets)
    ]


def test_spans_in_a_row_are_noted():
    offsets = spans(-38, -90, -42, 5, 9, 7, None, -41, -120, -130)
    first, second = local_outliers(offsets, CONSTANT)
    assert (first.start_s, first.end_s, first.offset_ms) == (8.0, 12.0, 7)
    assert (second.start_s, second.end_s, second.offset_ms) == (18.0, 20.0, -125)
    assert note_text(first) == (
        "8–12 s: measured +7 ms on its own, which differs from the reported offset"
    )
    (corrected, _) = local_outliers(offsets, CONSTANT, after_correction=True)
    assert note_text(corrected) == "8–12 s: still +7 ms after correction"


def test_single_uncertain_and_opposite_spans_are_not_noted():
    assert local_outliers(spans(-40, 60, -40, -200, 60, -40), CONSTANT) == []
    assert local_outliers(spans(60, 62, 64, probability=0.8), CONSTANT) == []
    assert local_outliers(spans(-38, -41, -70, -10), CONSTANT) == []
    assert local_outliers(spans(60, 62), None) == [] and local_outliers([], CONSTANT) == []


def test_a_drift_is_no_deviation():
    drift = made_timeline("drift", (0.0, 20.0, 0.0, 200.0), ppm=10000.0).to_timeline()
    assert local_outliers(spans(20, 40, 60, 80, 100), drift) == []
    assert len(local_outliers(spans(20, 40, 20, 20, 20), drift)) == 1
