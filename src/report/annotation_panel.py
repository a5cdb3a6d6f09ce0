"""The panel under an annotated picture: numbers, verdict, similarity and the sound."""

import math
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS, SAMPLE_RATE
from ..media.reader import stream_audio
from ..plotting.fonts import drawable, sayer, text_drawn, text_picture, text_width, wrapped
from ..plotting.waveform import sound_columns
from .plots import plain_verdict, score_shown

# BGR
GROUND, PLOT, INK = (34, 24, 17), (52, 40, 31), (240, 236, 230)
GOOD, POOR, QUIET = (110, 200, 76), (98, 104, 255), (150, 142, 134)
CURVE, HERE = (235, 180, 110), (80, 210, 255)
PAGE_S = 20  # of sound are seen at once
SMALLEST, LARGEST = 12, 64  # px, of letters
TRUSTED = 0.5  # a stretch's own offset is shown if it is more likely right than not
GAP_S = 1.0  # without any face for that long is said; a blink of the detector is not
Span = tuple[float, float, str]


def score_colour(score: float | None) -> tuple[int, int, int]:
    """Green, red, or grey where nothing is known; BGR."""
    return QUIET if score is None else GOOD if score >= 0.5 else POOR


def not_compared(details: dict) -> list[Span]:
    """While nobody in the picture is compared with the sound: (start, end, why) each, in seconds;
    ``why`` is "voice-over" or "no face", to be translated.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
    """
    spans, tracks = [], details["tracks"]
    for shot in details["voice_over"]:
        seen = [track for track in tracks if track["shot"] == shot]
        start, end = min(t["start_s"] for t in seen), max(t["end_s"] for t in seen)
        spans.append((start, end, "voice-over"))
    at = 0.0
    for start, end in [*sorted((t["start_s"], t["end_s"]) for t in tracks),
                       (details["duration_s"], math.inf)]:  # fmt: skip
        if start - at >= GAP_S:
            spans.append((at, start, "no face"))
        at = max(at, end)
    return spans


def why_not(spans: list[Span], at_s: float) -> str | None:
    """What ``not_compared`` says of a time, in seconds after the first picture; None: nothing."""
    place = at_s + 0.5 / FPS
    return next((why for start, end, why in spans if start <= place < end), None)


class Panel:
    """Draws the panel, in the order of time.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
        sound_path: what is heard.
        width: of the panel, in pixels, even.

    Attributes:
        height: of the panel, in pixels, even.
    """

    def __init__(self, details: dict, sound_path: str | Path, width: int):
        self._details, self._say = details, sayer()
        self._not_compared = not_compared(details)
        self._size = int(np.clip(round(width / 48), SMALLEST, LARGEST))
        self._small = max(10, round(0.8 * self._size))
        self._margin = round(0.8 * self._size)
        self._line = round(1.5 * self._size)
        self._inner = max(8, width - 2 * self._margin)
        self._page_s = min(PAGE_S, max(details["duration_s"], 0.2))
        self._page_number, self._page = -1, None
        self._lay_out(width)
        per_column = self._page_s * SAMPLE_RATE / (self._wave[1] - self._wave[0])
        self._columns = sound_columns(stream_audio(sound_path), per_column)
        self._still = self._drawn_once(width)

    def score_at(self, at_s: float) -> float | None:
        """The score of the second."""
        scores = self._details["per_second"]
        return scores[min(int(at_s), len(scores) - 1)] if scores else None

    def offset_at(self, at_s: float) -> float | None:
        """The offset in ms that the stretch around a time shows by itself; None where it shows
        none that is more likely right than not, or nobody is compared at that time."""
        stretches = self._details["offsets"]
        # A stretch takes in what is before and after it, and would speak for another shot.
        if not stretches or why_not(self._not_compared, at_s):
            return None
        nearest = min(stretches, key=lambda stretch: abs(stretch["time_s"] - at_s))
        certain = (nearest["probability"] or 0) >= TRUSTED
        return nearest["offset_ms"] if certain else None

    def at(self, at_s: float) -> np.ndarray:
        """The panel at a time: uint8 BGR [height, width, 3].

        Args:
            at_s: seconds after the first picture, rising from call to call.
        """
        number = int(at_s / self._page_s)
        number = min(number, max(0, int((self._details["duration_s"] - 1e-3) / self._page_s)))
        while self._page_number < number:
            self._turn_page()
        panel = self._page.copy()
        self._draw_numbers(panel, at_s)
        (left, right), (top, bottom) = self._wave, self._rows
        place = (at_s - self._page_number * self._page_s) / self._page_s
        x = min(right - 1, round(left + place * (right - left)))
        cv2.line(panel, (x, top[1]), (x, bottom[1]), HERE, max(1, self._size // 7))
        offset = self.offset_at(at_s)
        if offset is not None:
            self._mark_offset(panel, offset, HERE, max(1, self._size // 8))
        return panel

    # --- where things are

    def _lay_out(self, width: int) -> None:
        size, margin = self._size, self._margin
        texts = ("00:00:00.00", self._score_text(0.0), self._offset_text(-1000.0))
        self._widest = [text_width(text, size) + 2 * size for text in texts]
        self._beside = sum(self._widest) <= self._inner + 2 * size
        self._lines = [len(wrapped(text, size, self._inner)) for text in texts]
        text = self._details["verdict"] if drawable() else plain_verdict(self._details)
        self._verdict = wrapped(text, size, self._inner)
        at = margin // 2 + (1 if self._beside else sum(self._lines)) * self._line
        self._verdict_top = at
        at += len(self._verdict) * self._line + margin // 2
        ticks, tall = round(1.5 * self._small), 6 * size
        left, right = margin, width - margin
        beside = width >= 40 * size  # curve and sound beside each other
        if beside:
            middle = left + round(0.36 * (right - left))
            self._curve, self._wave = (left, middle - 2 * size), (middle, right)
        else:
            self._curve = self._wave = (left, right)
        texts = (self._say("similarity, if the sound is delayed"),
                 self._say("sound · green: in sync, red: not, grey: not judged"))  # fmt: skip
        self._captions = [
            wrapped(text, self._small, end - begin)
            for text, (begin, end) in zip(texts, (self._curve, self._wave), strict=True)
        ]
        above = [self._caption_height(lines) for lines in self._captions]
        curve_top = wave_top = at + max(above)
        if not beside:
            curve_top = at + above[0]
            wave_top = curve_top + tall + ticks + above[1]
        self._rows = (curve_top, wave_top), (curve_top + tall, wave_top + tall)
        height = wave_top + tall + ticks + margin // 2
        self.height = height + height % 2
        self._tick_gap = round(0.2 * self._small)

    def _caption_height(self, lines: list[str]) -> int:
        return (len(lines) - 1) * round(1.4 * self._small) + round(1.6 * self._small)

    # --- what stays

    def _drawn_once(self, width: int) -> np.ndarray:
        panel = np.full((self.height, width, 3), GROUND, np.uint8)
        for number, line in enumerate(self._verdict):
            self._write(panel, line, self._margin, self._verdict_top + number * self._line, INK)
        (curve_top, wave_top), (curve_low, wave_low) = self._rows
        places = (self._curve, curve_top, curve_low), (self._wave, wave_top, wave_low)
        for ((left, right), top, low), lines in zip(places, self._captions, strict=True):
            cv2.rectangle(panel, (left, top), (right, low), PLOT, cv2.FILLED)
            y = top - self._caption_height(lines)
            for number, line in enumerate(lines):
                at = y + number * round(1.4 * self._small)
                self._write(panel, line, left, at, QUIET, self._small)
        self._draw_curve(panel)
        return panel

    def _draw_curve(self, panel: np.ndarray) -> None:
        curve = self._details["curve"]
        offsets = curve["offset_ms"]
        values = np.array(curve["similarity"], float)
        (left, right), (top, _), (low, _) = self._curve, *self._rows
        zero = self._offset_x(0)
        cv2.line(panel, (zero, top), (zero, low), QUIET, 1)
        for offset in (offsets[0], 0, offsets[-1]):
            text = f"{offset:+d} ms" if offset else "0"
            x = self._offset_x(offset) - text_width(text, self._small) // 2
            x = int(np.clip(x, left, right - text_width(text, self._small)))
            self._write(panel, text, x, low + self._tick_gap, QUIET, self._small)
        if self._details["offset_ms"] is not None:
            self._mark_offset(panel, self._details["offset_ms"], GOOD, max(1, self._size // 5))
        if np.isnan(values).all():
            return
        lowest, highest = np.nanmin(values), np.nanmax(values)
        heights = (values - lowest) / max(highest - lowest, 1e-6)
        gap = round(0.08 * (low - top))
        places = [
            None if np.isnan(height) else
            (self._offset_x(offset), round(low - gap - height * (low - top - 2 * gap)))
            for offset, height in zip(offsets, heights, strict=True)
        ]  # fmt: skip
        for one, other in pairwise(places):
            if one and other:
                cv2.line(panel, one, other, CURVE, max(1, self._size // 7), cv2.LINE_AA)

    def _offset_x(self, offset_ms: float) -> int:
        offsets = self._details["curve"]["offset_ms"]
        left, right = self._curve
        part = (offset_ms - offsets[0]) / max(offsets[-1] - offsets[0], 1)
        return round(left + float(np.clip(part, 0, 1)) * (right - left))

    def _mark_offset(self, panel: np.ndarray, offset_ms: float, colour: tuple, thick: int) -> None:
        x = self._offset_x(offset_ms)
        cv2.line(panel, (x, self._rows[0][0]), (x, self._rows[1][0]), colour, thick)

    # --- what changes with the page, and with the picture

    def _turn_page(self) -> None:
        self._page_number += 1
        (left, right), (_, top), (_, low) = self._wave, *self._rows
        page = self._still.copy()
        columns = list(islice(self._columns, right - left))
        loudest = max([0.02, *(abs(side) for pair in columns for side in pair)])
        middle, half = (top + low) / 2, 0.46 * (low - top)
        begin = self._page_number * self._page_s
        for x, (deepest, highest) in enumerate(columns):
            colour = score_colour(self.score_at(begin + x * self._page_s / (right - left)))
            ends = (round(middle - half * value / loudest) for value in (highest, deepest))
            high, deep = ends
            cv2.line(page, (left + x, high), (left + x, deep), colour, 1)
        # Times of hours are long: fewer of them stand below a narrow sound.
        widest = text_width(clock(begin + self._page_s), self._small)
        fit = max(1, (right - left) / (1.5 * widest + self._small // 5))
        step = next((s for s in (1, 2, 5, 10) if s >= self._page_s / min(5, fit)), PAGE_S)
        for second in range(0, int(self._page_s) + 1, step):
            x = round(left + second / self._page_s * (right - left))
            text = clock(begin + second)
            cv2.line(page, (x, low - self._size // 3), (x, low), QUIET, 1)
            wide = text_width(text, self._small)
            x = int(np.clip(x - wide // 2, left, right - wide))
            self._write(page, text, x, low + self._tick_gap, QUIET, self._small)
        self._page = page

    def _draw_numbers(self, panel: np.ndarray, at_s: float) -> None:
        score, offset = self.score_at(at_s), self.offset_at(at_s)
        x, y = self._margin, self._margin // 2
        self._put(panel, text_drawn(clock(at_s, True), self._size, INK, GROUND), x, y)
        numbers = (
            (self._score_text(score), score_colour(score)),
            (self._offset_text(offset), QUIET if offset is None else HERE),
        )
        for (text, colour), wide, above in zip(numbers, self._widest, self._lines, strict=False):
            if self._beside:
                x += wide
                self._write(panel, text, x, y, colour)
                continue
            y += above * self._line
            for number, line in enumerate(wrapped(text, self._size, self._inner)):
                self._write(panel, line, x, y + number * self._line, colour)

    def _score_text(self, score: float | None) -> str:
        shown = "–" if score is None else score_shown(score)
        return self._say("score of this second {score}", score=shown)

    def _offset_text(self, offset_ms: float | None) -> str:
        shown = "–" if offset_ms is None else f"{offset_ms:+.0f}\N{NO-BREAK SPACE}ms"
        return self._say("offset around here {offset}", offset=shown)

    def _write(self, panel, text: str, x: int, y: int, colour: tuple, size: int = 0) -> None:
        self._put(panel, text_picture(text, size or self._size, colour, GROUND), x, y)

    @staticmethod
    def _put(panel: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
        patch = patch[: max(0, panel.shape[0] - y), : max(0, panel.shape[1] - x)]
        panel[y : y + patch.shape[0], x : x + patch.shape[1]] = patch


def clock(second: float, fine: bool = False) -> str:
    """0:07, 12:34 or 1:02:03; ``fine``: with hundredths."""
    minutes, rest = divmod(second, 60)
    hours, minutes = divmod(int(minutes), 60)
    seconds = f"{int(rest * 100) / 100:05.2f}" if fine else f"{int(rest):02d}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"
