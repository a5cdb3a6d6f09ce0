"""A result as one page: in words first, then what they rest on."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS
from ..core.files import written_atomically
from ..faces.boxes import BoxPath
from ..i18n.messages import language, tr, use_language
from ..media.reader import read_frames
from ..media.source_note import note_comment
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from ..plotting.figures import GOOD, POOR, QUIET, new_figure, render_svg
from ..scoring.perception import format_score
from ..scoring.result import FaceTrackResult, SyncResult
from ..scoring.words import note_text, verdict_text
from .annotation_panel import clock
from .plots import draw_offsets, draw_scores, draw_similarity, draw_waveform
from .sentences import correction_command, headline, sentences

TEMPLATE = Path(__file__).with_name("template.html")
FACE_SIDE = 144  # px of a face image; shown at half that, for high-resolution screens
FACE_MARGIN = 1.25  # of the box: how much is visible around a face
COLOURS = {None: QUIET, "undetectable": GOOD, "detectable": "#d99a1c", "unacceptable": POOR}


def write_report(
    score: float | None,
    details: dict,
    path: str | Path,
    language: str | None = None,
    options: Sequence[str] = (),
    note: str | None = None,
) -> None:
    """Write a result as one HTML file that needs nothing else: no network, no other file.

    Args:
        score, details: what ``LipSyncInference.compute_sync_score`` returned; ``video`` and
            ``audio`` of it are read once more for the images.
        path: the page to write.
        language: of the page, such as ``"zh_CN"``; None: the user's.
        options: more arguments of the command that corrects the pair, such as those with which it
            was scored: ``["--face", "2"]``.
        note: says in it what it was made from (``media.source_note``).

    Raises:
        MediaError: the video or the audio can no longer be read.
        OutputError: the page cannot be written.
    """
    result = SyncResult.from_dict(score, details)
    with use_language(language):
        page = _render(result, details, options)
    if note:
        page += f"\n<!-- {note_comment(note)} -->\n"
    with written_atomically(path) as temporary_path:
        temporary_path.write_text(page, encoding="utf-8", errors="backslashreplace")


def _render(result: SyncResult, details: dict, options: Sequence[str]) -> str:
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        language=language().replace("_", "-"),
        title=tr("Lip-sync report"),
        colour=COLOURS[result.bt1359],
        headline=headline(result),
        subtitle=f"{Path(result.video).name} · {clock(result.duration_s)}",
        sentences=sentences(result),
        command=correction_command(result, options),
        notes=[tr("note: {text}", text=note_text(note)) for note in result.notes],
        figures=_figures(result, details),
        faces=_faces(result),
        about=_about(result),
    )


def _figures(result: SyncResult, details: dict) -> list[dict]:
    figures = []
    if any(value is not None for value in result.curve.similarity):
        figures.append((
            tr("Similarity by offset"),
            tr("How well lips and audio match at each delay of the audio. They are in sync at the "
               "peak; a single high, narrow peak is a reliable result."),
            (draw_similarity,), 3.4, (1,),
        ))  # fmt: skip
    if any(span.offset_ms is not None for span in result.offsets):
        figures.append((
            tr("Offset over time"),
            tr("Each dot is measured on a few seconds alone; the darker, the more certain. A "
               "triangle lies outside the plot. The line is the reported offset."),
            (draw_offsets,), 2.4, (1,),
        ))  # fmt: skip
    figures.append((
        tr("Score per second"),
        tr("Top: how likely each second is in sync as given: green yes, red no; grey seconds have "
           "too little speech, or no face. Bottom: the audio."),
        (draw_scores, draw_waveform), 3.4, (1, 1),
    ))  # fmt: skip
    return [
        {"title": title, "caption": caption, "svg": _svg(plots, details, height, rows)}
        for title, caption, plots, height, rows in figures
    ]


def _svg(plots: tuple, details: dict, height: float, rows: tuple) -> str:
    """A figure as SVG in base64."""
    figure, axes = new_figure(9, height, rows)
    for axis, plot in zip(axes, plots, strict=True):
        plot(axis, details)
    return base64.b64encode(render_svg(figure).encode()).decode()


def _faces(result: SyncResult) -> dict:
    images = face_images(result.video, result.tracks, StreamChoice(result.video_stream))
    rows = []
    for track in result.tracks:
        jpeg = images.get(track.number)
        rows.append({
            "chosen": track.chosen,
            "image": None if jpeg is None else base64.b64encode(jpeg).decode(),
            "cells": [
                track.number,
                track.shot,
                f"{clock(track.start_s, True)}–{clock(track.end_s, True)}",
                format_score(track.score),
                _number(track.offset_ms, "+.0f"),
                _number(track.confidence, ".2f"),
                tr("yes") if track.chosen else "",
            ],
        })  # fmt: skip
    return {
        "title": tr("Face tracks"),
        "caption": tr("Each face track, compared with the audio on its own. The result uses the "
                      "marked ones."),
        "columns": ["", tr("number"), tr("shot"), tr("time"), tr("score"), tr("offset in ms"),
                    tr("confidence"), tr("used")],
        "rows": rows,
    }  # fmt: skip


def face_images(
    video_path: str | Path,
    tracks: list[FaceTrackResult],
    streams: StreamChoice = DEFAULT_STREAMS,
) -> dict[int, bytes]:
    """An image of each face, cropped from the video at the middle of its track.

    Returns:
        JPEG [144, 144] by number; a face outside of the frame has none.

    Raises:
        MediaError: the video cannot be read.
    """
    tracks_by_frame: dict[int, list[FaceTrackResult]] = {}
    for track in tracks:
        middle = round((track.start_s + track.end_s) / 2 * FPS)
        tracks_by_frame.setdefault(middle, []).append(track)
    last, images = max(tracks_by_frame, default=-1), {}
    if not tracks:
        return images
    for number, frame in enumerate(read_frames(video_path, streams=streams)):
        for track in tracks_by_frame.get(number, ()):
            image = _crop(frame.bgr, BoxPath(track.boxes).box_at(number / FPS))
            if image is not None:
                images[track.number] = image
        if number >= last:
            break
    return images


def _crop(pixels: np.ndarray, box: np.ndarray) -> bytes | None:
    """A square around a box as JPEG; None where it lies outside of the frame."""
    height, width = pixels.shape[:2]
    middle = (box[:2] + box[2:]) / 2
    half = FACE_MARGIN * float((box[2:] - box[:2]).max()) / 2
    x0, y0 = (max(0, round(float(side - half))) for side in middle)
    x1, y1 = (
        min(size, round(float(side + half)))
        for side, size in zip(middle, (width, height), strict=True)
    )
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    crop = pixels[y0:y1, x0:x1]
    side = max(crop.shape[:2])
    down, right = side - crop.shape[0], side - crop.shape[1]
    square = cv2.copyMakeBorder(
        crop, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_REPLICATE
    )
    interpolation = cv2.INTER_AREA if side > FACE_SIDE else cv2.INTER_CUBIC
    small = cv2.resize(square, (FACE_SIDE, FACE_SIDE), interpolation=interpolation)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _about(result: SyncResult) -> dict:
    rows = [
        (tr("video"), result.video),
        (tr("audio"), result.audio),
        (tr("verdict"), verdict_text(result)),
        (tr("score (0–1: probability that the pair is in sync as given)"),
         format_score(result.score, 4)),
        (tr("offset in ms (> 0: the audio must be delayed)"), _number(result.offset_ms, "+.1f")),
        (tr("confidence (LSE-C), minimum distance (LSE-D)"),
         f"{_number(result.confidence, '.3f')}, {_number(result.min_distance, '.3f')}"),
        (tr("face visible"),
         tr("{share:.0%} of {seconds:.1f} s",
            share=result.face_share, seconds=result.duration_s)),
        (tr("model"), f"{result.model.file} · SHA-256 {result.model.sha256[:16]}…"),
    ]  # fmt: skip
    return {"title": tr("Files and metrics"), "rows": rows}


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
