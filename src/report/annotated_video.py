"""A copy of a video with the result drawn into it: who is scored, with what outcome."""

import logging
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS
from ..core.errors import OutputError
from ..core.files import written_atomically
from ..core.progress import Progress, no_progress
from ..faces.boxes import BoxPath
from ..i18n.messages import tr
from ..media.container import probe
from ..media.frame import BT2020, ColourTags, VideoFrame
from ..media.reader import source_frames
from ..media.source_note import append_note, note_tag
from ..media.stream_choice import StreamChoice
from ..media.writer import SUFFIXES, VideoWriter, open_video_writer
from ..plotting.fonts import Colour, plot_tr, render_text_cached
from .annotation_panel import (
    CURRENT,
    AnnotationPanel,
    find_unscored_spans,
    score_colour,
    unscored_reason,
)

logger = logging.getLogger(__name__)
UNCHOSEN = (200, 200, 200)  # BGR, of faces that are not scored
DARK = (20, 16, 12)


def annotate(
    video_path: str | Path,
    audio_path: str | Path | None,
    details: dict,
    output_path: str | Path,
    progress: Progress = no_progress,
    note: str | None = None,
) -> None:
    """Write a copy of the pair with the result drawn into it.

    Every face has its box; the one of who speaks at that time is thick and has the colour of the
    second's score. A label in the corner says where there is a voice-over or no face. A panel under
    the frame displays the score and the offset at that time, the verdict, the similarity by offset,
    and the waveform with a moving time mark. Frames keep their size (an odd side gets one pixel
    more), number and times;
    the audio is that of the pair. Memory does not grow with the length.

    Args:
        video_path, audio_path: the pair that was scored.
        details: what ``LipSyncInference.compute_sync_score`` returned.
        output_path: .mp4, .mov or .mkv (H.264 and AAC).
        progress: reports the frames.
        note: says in it what it was made from (``media.source_note``).

    Raises:
        MediaError: an input cannot be used.
        OutputError: the output cannot be written, or has another suffix.
    """
    if Path(output_path).suffix.lower() not in SUFFIXES:
        raise OutputError(
            tr("{path}: the name must end in one of {suffixes}",
               path=output_path, suffixes=" ".join(sorted(SUFFIXES)))
        )  # fmt: skip
    audio_source = video_path if audio_path is None else audio_path
    video_streams, audio_streams = StreamChoice.of_pair(details)
    info = probe(video_path, video_streams)
    fps = info.fps or FPS
    n_expected = info.n_source_frames or (info.video_s or info.duration_s) * fps
    tag = note and note_tag(Path(output_path).suffix, note)
    with written_atomically(output_path) as temporary_path:
        with open_video_writer(
            temporary_path, output_path, audio_source, audio_streams, tag
        ) as writer:
            frames = source_frames(video_path, streams=video_streams)
            frames = progress(frames, tr("annotating the video"), n_expected)
            _annotate_frames(frames, details, audio_source, writer, fps)
        if note:
            append_note(temporary_path, note)


def _annotate_frames(
    frames: Iterable[tuple[float, VideoFrame, Fraction]],
    details: dict,
    audio_source: str | Path,
    writer: VideoWriter,
    fps: float,
) -> None:
    boxes, label, panel = FaceBoxes(details), UnscoredLabel(details), None
    for time_s, frame, time_base in frames:
        pixels = frame.bgr.copy()
        if panel is None:
            height, width = (side + side % 2 for side in pixels.shape[:2])
            panel = AnnotationPanel(details, audio_source, width)
            writer.time_base = time_base
            if frame.hdr:
                writer.colour = ColourTags(BT2020, BT2020, frame.colour_tags.transfer)
                logger.warning(tr("the annotated copy stays HDR ({transfer})", transfer=frame.hdr))
        boxes.draw(pixels, time_s, panel.score_at(time_s))
        label.draw(pixels, time_s)
        if pixels.shape[:2] != (height, width):
            pixels = _match_size(pixels, height, width)
        writer.add(time_s, np.vstack([pixels, panel.draw(time_s)]), fps)
    writer.finish(1 / fps)


def _match_size(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Odd sides become even by repeating the edge; a frame of another size, as in videos that
    change theirs, is scaled."""
    missing = height - pixels.shape[0], width - pixels.shape[1]
    if set(missing) <= {0, 1}:
        return cv2.copyMakeBorder(pixels, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


class FaceBoxes:
    """Draws the boxes of all face tracks frame by frame.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
    """

    def __init__(self, details: dict):
        by_start = sorted(details["tracks"], key=lambda track: track["start_s"], reverse=True)
        self._upcoming = by_start  # the next one last
        self._current: list[tuple[dict, BoxPath]] = []
        self._has_offset = details["status"] == "ok"

    def draw(self, pixels: np.ndarray, time_s: float, score: float | None) -> None:
        """Draw the boxes of a time into a frame.

        Args:
            pixels: uint8 BGR [height, width, 3], drawn into.
            time_s: seconds after the first frame, rising from call to call.
            score: of this second; None: there is none.
        """
        middle_s = time_s + 0.5 / FPS  # a box is of the frames half a frame around it
        while self._upcoming and self._upcoming[-1]["start_s"] <= middle_s:
            track = self._upcoming.pop()
            self._current.append((track, BoxPath(track["boxes"])))
        self._current = [pair for pair in self._current if middle_s < pair[0]["end_s"]]
        faces = [
            (any(first_s <= middle_s < stop_s for first_s, stop_s in track["speaks"]), track, path)
            for track, path in self._current
        ]
        for speaks, track, path in sorted(faces, key=lambda face: face[0]):
            colour = score_colour(score) if speaks else UNCHOSEN
            self._draw_box(pixels, path.box_at(time_s), track["number"], colour, speaks)

    def _draw_box(
        self, pixels: np.ndarray, box: np.ndarray, number: int, colour: Colour, speaks: bool
    ) -> None:
        font_px = _font_px(pixels)
        line_width = max(1, round(font_px / 5)) * (2 if speaks else 1)
        x0, y0, x1, y1 = (round(float(side)) for side in box)
        cv2.rectangle(pixels, (x0, y0), (x1, y1), DARK, line_width + 2, cv2.LINE_AA)
        cv2.rectangle(pixels, (x0, y0), (x1, y1), colour, line_width, cv2.LINE_AA)
        if speaks and self._has_offset:
            name = plot_tr("face {number}: speaker", number=number)
        else:
            name = plot_tr("face {number}", number=number)
        label = render_text_cached(f" {name} ", font_px, DARK, colour)
        top = y0 - line_width - label.shape[0]
        paste(pixels, label, x0 - line_width // 2, top if top >= 0 else y1 + line_width)


class UnscoredLabel:
    """A label in the corner of the frame while no face on screen is compared with the audio.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
    """

    def __init__(self, details: dict):
        self._spans = find_unscored_spans(details)
        self._texts = {"voice-over": plot_tr("voice-over"), "no face": plot_tr("no face")}

    def text_at(self, time_s: float) -> str | None:
        """The text at a time in seconds after the first frame; None: no label."""
        reason = unscored_reason(self._spans, time_s)
        return reason and self._texts[reason]

    def draw(self, pixels: np.ndarray, time_s: float) -> None:
        """Draw the label into a frame: uint8 BGR [height, width, 3]."""
        text = self.text_at(time_s)
        if text is not None:
            font_px = round(1.3 * _font_px(pixels))
            label = render_text_cached(f" {text} ", font_px, DARK, CURRENT)
            paste(pixels, label, font_px // 2, font_px // 2)


def _font_px(pixels: np.ndarray) -> int:
    """The font size for a frame, in pixels."""
    return max(10, round(min(pixels.shape[:2]) / 30))


def paste(pixels: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
    """Paste a patch into a frame, moved and cropped so that it lies inside."""
    height, width = pixels.shape[:2]
    patch = patch[:height, :width]
    x = min(max(0, x), width - patch.shape[1])
    y = min(max(0, y), height - patch.shape[0])
    pixels[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
