"""The panel under an annotated frame: numbers, verdict, similarity and waveform."""

import math
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..core.constants import FPS, SAMPLE_RATE
from ..media.reader import stream_audio
from ..media.stream_choice import StreamChoice
from ..plotting.fonts import (
    Colour,
    can_draw_language,
    plot_tr,
    render_text,
    render_text_cached,
    text_width,
    wrap_text,
)
from ..plotting.waveform import waveform_columns
from ..scoring.perception import format_score
from .plots import MIN_DURATION_S, short_verdict

# BGR
BACKGROUND, PLOT_BACKGROUND, INK = (34, 24, 17), (52, 40, 31), (240, 236, 230)
GOOD, POOR, QUIET = (110, 200, 76), (98, 104, 255), (150, 142, 134)
CURVE, CURRENT = (235, 180, 110), (80, 210, 255)

PAGE_S = 20  # seconds of audio that are visible at once
TICKS_S = (1, 2, 5, 10)  # between two times under the waveform
MIN_FONT_PX, MAX_FONT_PX = 12, 64
MIN_OFFSET_PROBABILITY = 0.5  # a local offset is displayed if it is more likely correct than not
MIN_FACELESS_S = 1.0  # shorter times without any face are gaps of the detector


def score_colour(score: float | None) -> Colour:
    """Green (in sync), red (out of sync), or grey where there is no score."""
    return QUIET if score is None else GOOD if score >= 0.5 else POOR


class UnscoredSpan(NamedTuple):
    """A time in which no face is compared with the audio.

    Attributes:
        reason: "voice-over" or "no face", to be translated.
    """

    start_s: float
    end_s: float
    reason: str


def find_unscored_spans(details: dict) -> list[UnscoredSpan]:
    """When no face on screen is compared with the audio.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
    """
    spans, tracks = [], details["tracks"]
    for shot in details["voice_over"]:
        shot_tracks = [track for track in tracks if track["shot"] == shot]
        start_s = min(track["start_s"] for track in shot_tracks)
        end_s = max(track["end_s"] for track in shot_tracks)
        spans.append(UnscoredSpan(start_s, end_s, "voice-over"))
    covered_s = 0.0
    times = sorted((track["start_s"], track["end_s"]) for track in tracks)
    for start_s, end_s in [*times, (details["duration_s"], math.inf)]:
        if start_s - covered_s >= MIN_FACELESS_S:
            spans.append(UnscoredSpan(covered_s, start_s, "no face"))
        covered_s = max(covered_s, end_s)
    return spans


def unscored_reason(spans: list[UnscoredSpan], time_s: float) -> str | None:
    """The reason of the span at a time in seconds after the first frame; None: there is none."""
    middle_s = time_s + 0.5 / FPS  # of the frame that is displayed then
    return next((span.reason for span in spans if span.start_s <= middle_s < span.end_s), None)


class Plot(NamedTuple):
    """Where a plot lies in the panel, and its caption above it.

    Attributes:
        left, right, top, bottom: in pixels.
        caption: its lines.
    """

    left: int
    right: int
    top: int
    bottom: int
    caption: list[str]


class AnnotationPanel:
    """Draws the panel frame by frame.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
        audio_path: the audio of the copy.
        width: of the panel in pixels, even.

    Attributes:
        height: of the panel in pixels, even.
    """

    def __init__(self, details: dict, audio_path: str | Path, width: int):
        self._details = details
        self._unscored = find_unscored_spans(details)
        self._font_px = int(np.clip(round(width / 48), MIN_FONT_PX, MAX_FONT_PX))
        self._small_px = max(10, round(0.8 * self._font_px))
        self._margin = round(0.8 * self._font_px)
        self._line_height = round(1.5 * self._font_px)
        self._text_width = max(8, width - 2 * self._margin)
        self._page_s = min(PAGE_S, max(details["duration_s"], MIN_DURATION_S))
        self._page_number, self._page = -1, None
        self._lay_out_text()
        self._curve, self._wave = self._lay_out_plots(width)
        height = self._wave.bottom + self._tick_height + self._margin // 2
        self.height = height + height % 2
        n_columns = self._wave.right - self._wave.left
        samples_per_column = self._page_s * SAMPLE_RATE / n_columns
        self._columns = waveform_columns(
            stream_audio(audio_path, StreamChoice.of_pair(details)[1]), samples_per_column
        )
        self._static = self._draw_static(width)

    def score_at(self, time_s: float) -> float | None:
        """The score of the second at a time in seconds after the first frame."""
        scores = self._details["per_second"]
        return scores[min(int(time_s), len(scores) - 1)] if scores else None

    def offset_at(self, time_s: float) -> float | None:
        """The offset in ms that the span around a time measures on its own.

        None where it is less likely correct than not, or no face is scored at that time.
        """
        spans = self._details["offsets"]
        # A span reaches into what is before and after it, and would stand for another shot.
        if not spans or unscored_reason(self._unscored, time_s):
            return None
        nearest = min(spans, key=lambda span: abs(span["time_s"] - time_s))
        is_reliable = (nearest["probability"] or 0) >= MIN_OFFSET_PROBABILITY
        return nearest["offset_ms"] if is_reliable else None

    def draw(self, time_s: float) -> np.ndarray:
        """The panel at a time: uint8 BGR [height, width, 3].

        Args:
            time_s: seconds after the first frame, rising from call to call.
        """
        last_page = max(0, int((self._details["duration_s"] - 1e-3) / self._page_s))
        page_number = min(int(time_s / self._page_s), last_page)
        while self._page_number < page_number:
            self._turn_page()
        panel = self._page.copy()
        self._draw_numbers(panel, time_s)
        wave = self._wave
        share = (time_s - self._page_number * self._page_s) / self._page_s
        x = min(wave.right - 1, round(wave.left + share * (wave.right - wave.left)))
        line_width = max(1, self._font_px // 7)
        cv2.line(panel, (x, wave.top), (x, wave.bottom), CURRENT, line_width)
        offset_ms = self.offset_at(time_s)
        if offset_ms is not None:
            self._draw_offset_line(panel, offset_ms, CURRENT, max(1, self._font_px // 8))
        return panel

    # --- layout

    def _lay_out_text(self) -> None:
        """Place the numbers, beside or below each other, and the verdict under them."""
        size = self._font_px
        widest = ("00:00:00.00", self._score_text(0.0), self._offset_text(-1000.0))
        self._number_widths = [text_width(text, size) + 2 * size for text in widest]
        self._in_one_row = sum(self._number_widths) <= self._text_width + 2 * size
        self._number_lines = [len(wrap_text(text, size, self._text_width)) for text in widest]
        verdict = self._details["verdict"] if can_draw_language() else short_verdict(self._details)
        self._verdict = wrap_text(verdict, size, self._text_width)
        n_lines = 1 if self._in_one_row else sum(self._number_lines)
        self._verdict_top = self._margin // 2 + n_lines * self._line_height

    def _lay_out_plots(self, width: int) -> tuple[Plot, Plot]:
        """Place the similarity and the waveform, beside each other where there is room."""
        size, left, right = self._font_px, self._margin, width - self._margin
        self._tick_height, self._tick_gap = round(1.5 * self._small_px), round(0.2 * self._small_px)
        plot_height, has_room = 6 * size, width >= 40 * size
        curve_x = wave_x = (left, right)
        if has_room:
            middle = left + round(0.36 * (right - left))
            curve_x, wave_x = (left, middle - 2 * size), (middle, right)
        curve_caption, wave_caption = (
            wrap_text(text, self._small_px, stop - start)
            for text, (start, stop) in (
                (plot_tr("similarity by offset"), curve_x),
                (plot_tr("audio · green: in sync, red: out of sync, grey: not scored"), wave_x),
            )
        )
        curve_top = wave_top = self._verdict_top + (
            len(self._verdict) * self._line_height + self._margin // 2
        )
        captions_px = [self._caption_height(lines) for lines in (curve_caption, wave_caption)]
        if has_room:
            curve_top = wave_top = curve_top + max(captions_px)
        else:
            curve_top += captions_px[0]
            wave_top = curve_top + plot_height + self._tick_height + captions_px[1]
        return (
            Plot(*curve_x, curve_top, curve_top + plot_height, curve_caption),
            Plot(*wave_x, wave_top, wave_top + plot_height, wave_caption),
        )

    def _caption_height(self, lines: list[str]) -> int:
        return (len(lines) - 1) * round(1.4 * self._small_px) + round(1.6 * self._small_px)

    # --- what is the same in every frame

    def _draw_static(self, width: int) -> np.ndarray:
        panel = np.full((self.height, width, 3), BACKGROUND, np.uint8)
        for number, line in enumerate(self._verdict):
            y = self._verdict_top + number * self._line_height
            self._write(panel, line, self._margin, y, INK)
        for plot in (self._curve, self._wave):
            corners = (plot.left, plot.top), (plot.right, plot.bottom)
            cv2.rectangle(panel, *corners, PLOT_BACKGROUND, cv2.FILLED)
            first_y = plot.top - self._caption_height(plot.caption)
            for number, line in enumerate(plot.caption):
                y = first_y + number * round(1.4 * self._small_px)
                self._write(panel, line, plot.left, y, QUIET, self._small_px)
        self._draw_similarity(panel)
        return panel

    def _draw_similarity(self, panel: np.ndarray) -> None:
        offsets_ms = self._details["curve"]["offset_ms"]
        plot, zero_x = self._curve, self._offset_x(0)
        cv2.line(panel, (zero_x, plot.top), (zero_x, plot.bottom), QUIET, 1)
        for offset_ms in (offsets_ms[0], 0, offsets_ms[-1]):
            text = f"{offset_ms:+d} ms" if offset_ms else "0"
            self._write_tick(panel, text, self._offset_x(offset_ms), plot)
        if self._details["offset_ms"] is not None:
            line_width = max(1, self._font_px // 5)
            self._draw_offset_line(panel, self._details["offset_ms"], GOOD, line_width)
        for start, end in pairwise(self._curve_points()):
            if start and end:
                cv2.line(panel, start, end, CURVE, max(1, self._font_px // 7), cv2.LINE_AA)

    def _curve_points(self) -> list[tuple[int, int] | None]:
        """The similarity of each offset in pixels x, y; None where there is none."""
        offsets_ms = self._details["curve"]["offset_ms"]
        similarity = np.array(self._details["curve"]["similarity"], float)
        if np.isnan(similarity).all():
            return []
        lowest, highest = np.nanmin(similarity), np.nanmax(similarity)
        heights = (similarity - lowest) / max(highest - lowest, 1e-6)
        top, bottom = self._curve.top, self._curve.bottom
        padding = round(0.08 * (bottom - top))
        return [
            None if np.isnan(height) else
            (self._offset_x(offset_ms),
             round(bottom - padding - height * (bottom - top - 2 * padding)))
            for offset_ms, height in zip(offsets_ms, heights, strict=True)
        ]  # fmt: skip

    def _offset_x(self, offset_ms: float) -> int:
        offsets_ms = self._details["curve"]["offset_ms"]
        share = (offset_ms - offsets_ms[0]) / max(offsets_ms[-1] - offsets_ms[0], 1)
        left, right = self._curve.left, self._curve.right
        return round(left + float(np.clip(share, 0, 1)) * (right - left))

    def _draw_offset_line(
        self, panel: np.ndarray, offset_ms: float, colour: Colour, line_width: int
    ) -> None:
        x = self._offset_x(offset_ms)
        cv2.line(panel, (x, self._curve.top), (x, self._curve.bottom), colour, line_width)

    # --- what changes with the page, and with the frame

    def _turn_page(self) -> None:
        """Draw the waveform of the next ``PAGE_S`` seconds, and the times under it."""
        self._page_number += 1
        self._page, plot = self._static.copy(), self._wave
        start_s = self._page_number * self._page_s
        n_columns = plot.right - plot.left
        columns = list(islice(self._columns, n_columns))
        loudest = max([0.02, *(abs(value) for column in columns for value in column)])
        middle, half = (plot.top + plot.bottom) / 2, 0.46 * (plot.bottom - plot.top)
        for index, (lowest, highest) in enumerate(columns):
            colour = score_colour(self.score_at(start_s + index * self._page_s / n_columns))
            top, bottom = (round(middle - half * value / loudest) for value in (highest, lowest))
            x = plot.left + index
            cv2.line(self._page, (x, top), (x, bottom), colour, 1)
        self._draw_times(start_s)

    def _draw_times(self, start_s: float) -> None:
        plot, width = self._wave, self._wave.right - self._wave.left
        # Times of hours are long: fewer of them fit below a narrow waveform.
        widest = text_width(clock(start_s + self._page_s), self._small_px)
        n_fitting = max(1, width / (1.5 * widest + self._small_px // 5))
        min_interval_s = self._page_s / min(5, n_fitting)
        interval_s = next((tick_s for tick_s in TICKS_S if tick_s >= min_interval_s), PAGE_S)
        for second in range(0, int(self._page_s) + 1, interval_s):
            x = round(plot.left + second / self._page_s * width)
            tick_top = plot.bottom - self._font_px // 3
            cv2.line(self._page, (x, tick_top), (x, plot.bottom), QUIET, 1)
            self._write_tick(self._page, clock(start_s + second), x, plot)

    def _draw_numbers(self, panel: np.ndarray, time_s: float) -> None:
        score, offset_ms = self.score_at(time_s), self.offset_at(time_s)
        x, y = self._margin, self._margin // 2
        time = render_text(clock(time_s, hundredths=True), self._font_px, INK, BACKGROUND)
        self._paste(panel, time, x, y)
        numbers = (
            (self._score_text(score), score_colour(score)),
            (self._offset_text(offset_ms), QUIET if offset_ms is None else CURRENT),
        )
        for index, (text, colour) in enumerate(numbers):
            if self._in_one_row:
                x += self._number_widths[index]
                self._write(panel, text, x, y, colour)
                continue
            y += self._number_lines[index] * self._line_height
            for number, line in enumerate(wrap_text(text, self._font_px, self._text_width)):
                self._write(panel, line, x, y + number * self._line_height, colour)

    @staticmethod
    def _score_text(score: float | None) -> str:
        return plot_tr("score this second: {score}", score=format_score(score))

    @staticmethod
    def _offset_text(offset_ms: float | None) -> str:
        offset = "–" if offset_ms is None else f"{offset_ms:+.0f}\N{NO-BREAK SPACE}ms"
        return plot_tr("local offset: {offset}", offset=offset)

    def _write_tick(self, panel: np.ndarray, text: str, x: int, plot: Plot) -> None:
        """Text centred under a position of a plot's axis, within the plot's width."""
        width = text_width(text, self._small_px)
        x = int(np.clip(x - width // 2, plot.left, plot.right - width))
        self._write(panel, text, x, plot.bottom + self._tick_gap, QUIET, self._small_px)

    def _write(
        self, panel: np.ndarray, text: str, x: int, y: int, colour: Colour, font_px: int = 0
    ) -> None:
        line = render_text_cached(text, font_px or self._font_px, colour, BACKGROUND)
        self._paste(panel, line, x, y)

    @staticmethod
    def _paste(panel: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
        patch = patch[: max(0, panel.shape[0] - y), : max(0, panel.shape[1] - x)]
        panel[y : y + patch.shape[0], x : x + patch.shape[1]] = patch


def clock(seconds: float, hundredths: bool = False) -> str:
    """A time such as 0:07, 12:34 or 1:02:03; with hundredths 0:07.25."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{int(seconds * 100) / 100:05.2f}" if hundredths else f"{int(seconds):02d}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"
