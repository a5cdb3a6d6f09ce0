"""Frame rates of video and the timecodes counted in them."""

import re
from fractions import Fraction

from ..core.errors import MediaError
from ..i18n.messages import tr

STANDARD_RATES = tuple(
    Fraction(rate * 1000, divisor)
    for rate in (24, 25, 30, 48, 50, 60, 100, 120) for divisor in (1000, 1001)
    if divisor == 1000 or rate not in (25, 50, 100)
)  # fmt: skip
NEAR = Fraction(1, 3000)  # relative: a third of the difference between 30 and 29.97
MAX_DENOMINATOR = 1001


def standard_rate(fps: Fraction) -> Fraction:
    """The usual rate that a measured one stands for, such as 30000/1001 for 29.969; any other as
    a fraction of small numbers."""
    nearest = min(STANDARD_RATES, key=lambda rate: abs(rate - fps))
    return nearest if abs(nearest / fps - 1) < NEAR else fps.limit_denominator(MAX_DENOMINATOR)


def can_drop(fps: Fraction) -> bool:
    """Whether drop-frame timecode is defined: for 29.97, 59.94 and 119.88 frames per second."""
    return fps.denominator == 1001 and round(fps) % 30 == 0


def _dropped_a_minute(fps: Fraction) -> int:
    return 2 * round(fps) // 30


def format_timecode(frame: int, fps: Fraction, drop: bool = False) -> str:
    """``01:00:00:00``, with drop-frame counting ``01:00:00;00`` (SMPTE 12M); from 24 h on it
    begins again.

    Args:
        frame: from midnight, ≥ 0.
    """
    nominal = round(fps)
    if drop:
        dropped = _dropped_a_minute(fps)
        per_minute, per_ten = 60 * nominal - dropped, 600 * nominal - 9 * dropped
        frame %= 144 * per_ten
        tens, rest = divmod(frame, per_ten)
        minutes = max(0, (rest - dropped) // per_minute)  # but for the first of ten
        frame += dropped * (9 * tens + minutes)
    seconds, frames = divmod(frame, nominal)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    mark = ";" if drop else ":"
    return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{mark}{frames:02d}"


def parse_timecode(text: str, fps: Fraction) -> tuple[int, bool]:
    """(frame from midnight, whether it drops frames) of a timecode.

    Raises:
        MediaError: it is none.
    """
    match = re.fullmatch(r"(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})", text.strip())
    if not match or int(match[5]) >= round(fps):
        raise MediaError(tr("{text} is no timecode at {fps:.2f} frames per second",
                            text=text, fps=float(fps)))  # fmt: skip
    hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
    drop = match[4] in ";," and can_drop(fps)
    frame = (hours * 3600 + minutes * 60 + seconds) * round(fps) + frames
    if drop:
        total = hours * 60 + minutes
        frame -= _dropped_a_minute(fps) * (total - total // 10)
    return frame, drop
