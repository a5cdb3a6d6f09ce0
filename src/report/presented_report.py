"""A presenter's new speech as one page: how good it is in words, and where it is weak."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS, FRAME_MS
from ..core.files import written_atomically
from ..i18n.messages import language, tr
from ..media.source_note import note_comment
from ..plotting.figures import GOOD, POOR, QUIET
from ..scoring.perception import IN_SYNC_MS
from .annotation_panel import clock

TEMPLATE = Path(__file__).with_name("presented.html")
MAX_FRAMES = 8
FRAME_SIDE = 480  # px, the longer one of an embedded frame
FAIR = "#d99a1c"
GOOD_IN_SYNC, FAIR_IN_SYNC = 0.9, 0.7  # shares of the seconds with speech
BAR_WIDTH, MIN_SPAN_WIDTH = 1000, 4  # units of the bar of weak spots; a narrower one is not seen


def write_presented_report(
    result: dict, path: str | Path, frames: Sequence[np.ndarray] = (), note: str | None = None
) -> None:
    """Write a page that needs nothing else, no network and no other file, in the user's language.

    Args:
        result: what ``presenter.presenting.Presented`` holds, as plain values (``model_dump()``):
            ``output``, ``duration_s``, ``frames``, ``joins_per_s``, ``judged`` (None or
            ``confidence``, ``offset_ms``, ``in_sync``, each of which may be None),
            ``real_confidence``, ``weak_spans`` (``start_s``, ``end_s``, ``words`` each),
            ``warnings``; and ``closeness`` (the judge's confidence as a share of that in the
            person's own footage, ≥ 0, or None) and ``model`` (the checkpoint that made it, a path).
        path: the page to write.
        frames: uint8 BGR [H, W, 3] each, of the output in their order; of more than 8, 8 at
            regular distances are used.
        note: says in it what it is (``media.source_note``).

    Raises:
        OutputError: the page cannot be written.
    """
    page = _render(result, frames)
    if note:
        page += f"\n<!-- {note_comment(note)} -->\n"
    with written_atomically(path) as temporary_path:
        temporary_path.write_text(page, encoding="utf-8", errors="backslashreplace")


def _render(result: dict, frames: Sequence[np.ndarray]) -> str:
    from jinja2 import Environment

    headline, colour = _headline(result)
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        language=language().replace("_", "-"),
        title=tr("New speech"),
        colour=colour,
        headline=headline,
        subtitle=f"{Path(result['output']).name} · {clock(result['duration_s'])}",
        sentences=_sentences(result),
        warnings={"title": tr("Warnings"), "texts": result["warnings"]},
        frames=_strip(frames),
        weak=_weak_spots(result),
        about=_about(result),
    )


def _headline(result: dict) -> tuple[str, str]:
    """The result in one sentence, and its colour."""
    in_sync = (result["judged"] or {}).get("in_sync")
    if in_sync is None:
        return tr("It was not measured how well the lips match the speech."), QUIET
    if in_sync >= GOOD_IN_SYNC:
        return tr("The lips match the speech."), GOOD
    if in_sync >= FAIR_IN_SYNC:
        return tr("The lips match the speech most of the time."), FAIR
    return tr("The lips often do not match the speech."), POOR


def _sentences(result: dict) -> list[tuple[str, str]]:
    """(heading, sentences) each."""
    return [
        (tr("In sync"), _in_sync(result)),
        (tr("Offset"), _offset(result)),
        (tr("Compared with real footage"), _closeness(result)),
        (tr("Joins"),
         tr("{n:.1f} per second: so often the mouth continues with another piece of footage.",
            n=result["joins_per_s"])),
        (tr("Weak spots"), _weak_text(result["weak_spans"])),
    ]  # fmt: skip


def _in_sync(result: dict) -> str:
    judged = result["judged"]
    if judged is None or judged["in_sync"] is None:
        return _unknown(result)
    return tr("{share:.0%} of the seconds with speech, as measured by an independent network that "
              "took no part in making the video.", share=judged["in_sync"])  # fmt: skip


def _offset(result: dict) -> str:
    judged = result["judged"]
    if judged is None or judged["offset_ms"] is None:
        return _unknown(result)
    offset_ms = judged["offset_ms"]
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("Lips and audio are {ms:.0f} ms apart, less than one frame ({frame} ms).",
                  ms=abs(offset_ms), frame=FRAME_MS)  # fmt: skip
    values = {"ms": abs(offset_ms), "n": abs(round(offset_ms)) / FRAME_MS, "fps": FPS}
    if offset_ms > 0:
        return tr("The audio leads the lips by {ms:.0f} ms ({n:.1f} frames at {fps} fps).",
                  **values)  # fmt: skip
    return tr("The audio lags the lips by {ms:.0f} ms ({n:.1f} frames at {fps} fps).", **values)


def _closeness(result: dict) -> str:
    if result["closeness"] is None:
        return _unknown_closeness(result)
    return tr("The network is {share:.0%} as confident as it is with the person's own footage.",
              share=result["closeness"])  # fmt: skip


def _weak_text(spans: list[dict]) -> str:
    if not spans:
        return tr("None: the footage holds frames that fit all of the speech.")
    seconds = sum(span["end_s"] - span["start_s"] for span in spans)
    return tr("{n}, {s:.1f} s in all; they are listed below.", n=len(spans), s=seconds)


def _unknown(result: dict) -> str:
    """A dash and why there is no figure of the judge."""
    if result["judged"] is None:
        return tr("– ({why})", why=tr("the independent network was not asked"))
    return tr("– ({why})", why=tr("too little speech in a row to be measured"))


def _unknown_closeness(result: dict) -> str:
    if result["judged"] is None or result["judged"]["confidence"] is None:
        return _unknown(result)
    return tr("– ({why})", why=tr("the person's own footage was not measured"))


def _strip(frames: Sequence[np.ndarray]) -> dict:
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), MAX_FRAMES)).round().astype(int)
    return {
        "title": tr("Frames"),
        "caption": tr("Frames of the video at regular distances."),
        "images": [base64.b64encode(_jpeg(frames[number])).decode() for number in chosen],
    }


def _jpeg(pixels: np.ndarray) -> bytes:
    scale = FRAME_SIDE / max(pixels.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _weak_spots(result: dict) -> dict:
    duration_s = result["duration_s"]
    rows = []
    has_words = any(span["words"] for span in result["weak_spans"])
    for span in result["weak_spans"]:
        left, right = (
            BAR_WIDTH * min(span[end] / duration_s, 1.0) for end in ("start_s", "end_s")
        )  # fmt: skip
        rows.append({
            "left": round(min(left, BAR_WIDTH - MIN_SPAN_WIDTH), 1),
            "width": round(max(right - left, MIN_SPAN_WIDTH), 1),
            "cells": [
                f"{clock(span['start_s'], True)}–{clock(span['end_s'], True)}",
                tr("{s:.1f} s", s=span["end_s"] - span["start_s"]),
                *([span["words"]] if has_words else []),
            ],
        })  # fmt: skip
    return {
        "title": tr("Weak spots"),
        "caption": tr("Here the footage holds no frames that fit the speech well: look at these "
                      "places. More footage of the person helps."),
        "ends": [clock(0), clock(duration_s)],
        "columns": [tr("time"), tr("length"), *([tr("words")] if has_words else [])],
        "rows": rows,
    }  # fmt: skip


def _about(result: dict) -> dict:
    judged = result["judged"] or {"in_sync": None, "offset_ms": None, "confidence": None}
    unknown = _unknown(result)
    rows = [
        (tr("video"), result["output"]),
        (tr("length"),
         tr("{s:.1f} s, {n} frames", s=result["duration_s"], n=result["frames"])),
        (tr("share of the seconds with speech that are in sync"),
         _number(judged["in_sync"], ".1%", unknown)),
        (tr("offset in ms (> 0: the audio must be delayed)"),
         _number(judged["offset_ms"], "+.1f", unknown)),
        (tr("confidence (LSE-C)"), _number(judged["confidence"], ".3f", unknown)),
        (tr("confidence in the person's own footage"),
         _number(result["real_confidence"], ".3f",
                 tr("– ({why})", why=tr("the person's own footage was not measured")))),
        (tr("share of the own footage's confidence"),
         _number(result["closeness"], ".1%", _unknown_closeness(result))),
        (tr("joins per second"), f"{result['joins_per_s']:.2f}"),
        (tr("model"), result["model"]),
    ]  # fmt: skip
    return {"title": tr("Files and metrics"), "rows": rows}


def _number(value: float | None, form: str, unknown: str) -> str:
    return unknown if value is None else format(value, form)
