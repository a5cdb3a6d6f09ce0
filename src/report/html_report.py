"""A result as one page: in words first, then what they rest on."""

import base64
from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS
from ..core.files import written_atomically
from ..faces.boxes import BoxPath
from ..i18n.messages import language, tr
from ..media.reader import read_frames
from ..plotting.figures import GOOD, POOR, QUIET, new_figure, svg_of
from .annotation_panel import clock
from .plots import draw_course, draw_curve, draw_seconds, draw_sound, score_shown
from .sentences import correction_command, headline, sentences

TEMPLATE = Path(__file__).with_name("template.html")
FACE_SIDE = 144  # px of a face's picture; shown at half that, for fine screens
FACE_ROOM = 1.25  # of the box: how much is seen around a face
COLOURS = {None: QUIET, "undetectable": GOOD, "detectable": "#d99a1c", "unacceptable": POOR}


def write_report(score: float | None, details: dict, path: str | Path) -> None:
    """Write a result as one HTML file that needs nothing else: no network, no other file.

    Args:
        score, details: what ``LipSyncInference.compute_sync_score`` returned; ``video`` and
            ``audio`` of it are read once more for the pictures.
        path: the page to write.

    Raises:
        MediaError: the video or the sound can no longer be read.
        OutputError: the page cannot be written.
    """
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        language="zh-CN" if language() == "zh" else "en",
        title=tr("Lip-sync report"),
        colour=COLOURS[details["bt1359"]],
        headline=headline(details),
        subtitle=f"{Path(details['video']).name} · {clock(details['duration_s'])}",
        sentences=sentences(score, details),
        command=correction_command(details),
        notes=[tr("note: {text}", text=note) for note in details["notes"]],
        figures=_figures(details),
        faces=_faces(details),
        about=_about(score, details),
    )
    with written_atomically(path) as aside:
        aside.write_text(page, encoding="utf-8")


def _figures(details: dict) -> list[dict]:
    figures = []
    if any(value is not None for value in details["curve"]["similarity"]):
        figures.append((
            tr("If the sound were moved"),
            tr("How well lips and sound agree when the sound is delayed by so many milliseconds. "
               "Where they agree best, they are in sync; one high, narrow peak is a sure result."),
            (draw_curve,), 3.4, (1,),
        ))  # fmt: skip
    if any(stretch["offset_ms"] is not None for stretch in details["offsets"]):
        figures.append((
            tr("The offset over time"),
            tr("Each dot is what a few seconds show by themselves, the darker the surer (a "
               "triangle lies beyond the edge); the line is the course they have in common."),
            (draw_course,), 2.4, (1,),
        ))  # fmt: skip
    figures.append((
        tr("Second by second"),
        tr("Above, how likely each second is in sync as it is: green yes, red no; grey seconds "
           "have too little speech, or no face. Below, the sound."),
        (draw_seconds, draw_sound), 3.4, (1, 1),
    ))  # fmt: skip
    return [
        {"title": title, "told": told, "svg": _drawn(draws, details, height, rows)}
        for title, told, draws, height, rows in figures
    ]


def _drawn(draws: tuple, details: dict, height: float, rows: tuple) -> str:
    """A figure as SVG in base64."""
    figure, axes = new_figure(9, height, rows)
    for axis, draw in zip(axes, draws, strict=True):
        draw(axis, details)
    return base64.b64encode(svg_of(figure).encode()).decode()


def _faces(details: dict) -> dict:
    pictures = face_pictures(details["video"], details["tracks"])
    rows = []
    for track in details["tracks"]:
        jpeg = pictures.get(track["number"])
        rows.append({
            "chosen": track["chosen"],
            "picture": None if jpeg is None else base64.b64encode(jpeg).decode(),
            "cells": [
                track["number"],
                track["shot"],
                f"{clock(track['start_s'], True)}–{clock(track['end_s'], True)}",
                "–" if track["score"] is None else score_shown(track["score"]),
                _shown(track["offset_ms"], "+.0f"),
                _shown(track["confidence"], ".2f"),
                tr("yes") if track["chosen"] else "",
            ],
        })  # fmt: skip
    return {
        "title": tr("The faces"),
        "told": tr("Every face that was followed, compared with the sound by itself. The result is "
                   "of those that are marked."),
        "columns": ["", tr("number"), tr("shot"), tr("time"), tr("score"), tr("offset in ms"),
                    tr("confidence"), tr("judged")],
        "rows": rows,
    }  # fmt: skip


def face_pictures(video_path: str | Path, tracks: list[dict]) -> dict[int, bytes]:
    """A picture of each face, cut out of the video at the middle of its time.

    Args:
        tracks: ``details["tracks"]``.

    Returns:
        JPEG [144, 144] by number; a face outside of the picture has none.

    Raises:
        MediaError: the video cannot be read.
    """
    wanted: dict[int, list[dict]] = {}
    for track in tracks:
        middle = round((track["start_s"] + track["end_s"]) / 2 * FPS)
        wanted.setdefault(middle, []).append(track)
    last, found = max(wanted, default=-1), {}
    if not tracks:
        return found
    for number, picture in enumerate(read_frames(video_path)):
        for track in wanted.get(number, ()):
            face = _cut_out(picture.bgr, BoxPath(track["boxes"]).at(number / FPS))
            if face is not None:
                found[track["number"]] = face
        if number >= last:
            break
    return found


def _cut_out(pixels: np.ndarray, box: np.ndarray) -> bytes | None:
    height, width = pixels.shape[:2]
    middle = (box[:2] + box[2:]) / 2
    half = FACE_ROOM * float((box[2:] - box[:2]).max()) / 2
    x0, y0 = (max(0, round(float(side - half))) for side in middle)
    x1, y1 = (
        min(size, round(float(side + half)))
        for side, size in zip(middle, (width, height), strict=True)
    )
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    part = pixels[y0:y1, x0:x1]
    side = max(part.shape[:2])
    down, right = side - part.shape[0], side - part.shape[1]
    square = cv2.copyMakeBorder(
        part, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_REPLICATE
    )
    way = cv2.INTER_AREA if side > FACE_SIDE else cv2.INTER_CUBIC
    small = cv2.resize(square, (FACE_SIDE, FACE_SIDE), interpolation=way)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _about(score: float | None, details: dict) -> dict:
    rows = [
        (tr("video"), details["video"]),
        (tr("sound"), details["audio"]),
        (tr("verdict"), details["verdict"]),
        (tr("score (0–1: the chance that the pair is in sync as it is)"),
         _shown(score and min(score, 0.9999), ".4f")),
        (tr("offset in ms (> 0: the sound must be delayed)"), _shown(details["offset_ms"], "+.1f")),
        (tr("confidence (LSE-C), minimum distance (LSE-D)"),
         f"{_shown(details['confidence'], '.3f')}, {_shown(details['min_distance'], '.3f')}"),
        (tr("face seen"),
         tr("{share:.0%} of {seconds:.1f} s",
            share=details["face_share"], seconds=details["duration_s"])),
    ]  # fmt: skip
    model = details.get("model")
    if model:
        rows.append((tr("model"), f"{model['file']} · SHA-256 {model['sha256'][:16]}…"))
    return {"title": tr("Files and figures"), "rows": rows}


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
