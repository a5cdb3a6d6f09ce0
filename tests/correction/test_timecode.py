"""Timecodes, against those of OpenTimelineIO, and the usual frame rates."""

from fractions import Fraction

import opentimelineio as otio
import pytest

from src.core.errors import MediaError
from src.correction.timecode import can_drop, format_timecode, parse_timecode, standard_rate

RATES = [
    Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30),
    Fraction(50), Fraction(60000, 1001), Fraction(60),
]  # fmt: skip
FRAMES = [0, 1, 29, 30, 1799, 1800, 1801, 3599, 3600, 17981, 17982, 17983, 35963, 107891, 107892,
          215999, 1_000_003]  # fmt: skip


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("drop", [False, True])
def test_timecodes_are_those_of_opentimelineio(fps, drop):
    if drop and not can_drop(fps):
        pytest.skip("no drop-frame timecode at this rate")
    for frame in FRAMES:
        moment = otio.opentime.RationalTime(frame, float(fps))
        expected = otio.opentime.to_timecode(moment, float(fps), drop)
        text = format_timecode(frame, fps, drop)
        assert text == expected
        assert parse_timecode(text, fps) == (frame, drop)


@pytest.mark.parametrize(
    ("measured", "rate"),
    [(Fraction(2997, 100), Fraction(30000, 1001)), (Fraction(23976, 1000), Fraction(24000, 1001)),
     (Fraction(25), Fraction(25)), (Fraction(30), Fraction(30)), (Fraction(15), Fraction(15)),
     (Fraction(5994, 100), Fraction(60000, 1001)), (Fraction(23, 2), Fraction(23, 2))],
)  # fmt: skip
def test_the_usual_rate_is_recognised(measured, rate):
    assert standard_rate(measured) == rate


@pytest.mark.parametrize("text", ["", "1:2:3", "00:00:00:25", "00:00:00:99", "abc"])
def test_what_is_no_timecode_is_refused(text):
    with pytest.raises(MediaError, match="is no timecode at 25"):
        parse_timecode(text, Fraction(25))
