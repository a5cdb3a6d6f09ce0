"""A copy of a video for people to look at: who is judged, and how the result comes about."""

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
from ..media.reader import source_frames
from ..media.writer import SUFFIXES, VideoWriter, video_written
from ..plotting.fonts import sayer, text_picture
from .annotation_panel import HERE, Panel, not_compared, score_colour, why_not

OTHERS = (200, 200, 200)  # BGR, of faces that are not judged
DARK = (20, 16, 12)


def annotate(
    video_path: str | Path,
    audio_path: str | Path | None,
    details: dict,
    output_path: str | Path,
    progress: Progress = no_progress,
) -> None:
    """Write the pair as it was given, with the result drawn into it.

    Every face has its box; the speaker's is thick and has the colour of the second's score. In
    the corner it is said while the voice is not of anybody in the picture, or no face is seen. A
    panel under the picture shows the score and the offset at that time, the verdict, the
    similarity over offsets, and the sound with a moving time mark. Pictures keep their size (a side
    of odd length gets one pixel more), their number and their times; the sound is that of the pair.
    Memory does not grow with the length.

    Args:
        video_path, audio_path: the pair that was judged.
        details: what ``LipSyncInference.compute_sync_score`` said of it.
        output_path: .mp4, .mov or .mkv (H.264 and AAC).
        progress: told of the pictures.

    Raises:
        MediaError: an input cannot be used.
        OutputError: the output cannot be written, or has another suffix.
    """
    if Path(output_path).suffix.lower() not in SUFFIXES:
        raise OutputError(
            tr("{path}: the name must end in one of {suffixes}",
               path=output_path, suffixes=" ".join(sorted(SUFFIXES)))
        )  # fmt: skip
    sound = video_path if audio_path is None else audio_path
    info = probe(video_path)
    fps = info.fps or FPS
    expected = info.n_source_frames or (info.video_s or info.duration_s) * fps
    with written_atomically(output_path) as aside, video_written(aside, output_path, sound) as film:
        timed = source_frames(video_path)
        _draw(progress(timed, tr("drawing the result"), expected), details, sound, film, fps)


def _draw(pictures, details: dict, sound: str | Path, film: VideoWriter, fps: float) -> None:
    faces, banner, panel = FaceBoxes(details), Banner(details), None
    for at, picture, tick in pictures:
        pixels = picture.bgr.copy()
        if panel is None:
            height, width = (side + side % 2 for side in pixels.shape[:2])
            panel = Panel(details, sound, width)
            film.tick = tick
        faces.draw(pixels, at, panel.score_at(at))
        banner.draw(pixels, at)
        if pixels.shape[:2] != (height, width):
            pixels = _fitted(pixels, height, width)
        film.add(at, np.vstack([pixels, panel.at(at)]), fps)
    film.finish(1 / fps)


def _fitted(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sides made even by repeating the edge; a picture of another size, as some films change to,
    is made to fit."""
    more = height - pixels.shape[0], width - pixels.shape[1]
    if set(more) <= {0, 1}:
        return cv2.copyMakeBorder(pixels, 0, more[0], 0, more[1], cv2.BORDER_REPLICATE)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


class FaceBoxes:
    """The boxes of all followed faces, drawn in the order of time.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
    """

    def __init__(self, details: dict):
        self._coming = sorted(details["tracks"], key=lambda track: track["start_s"], reverse=True)
        self._there: list[tuple[dict, BoxPath]] = []
        self._judged = details["status"] == "ok"
        self._say = sayer()

    def draw(self, pixels: np.ndarray, at_s: float, score: float | None) -> None:
        """Draw what is there at a time into a picture.

        Args:
            pixels: uint8 BGR [height, width, 3], drawn into.
            at_s: seconds after the first picture, rising from call to call.
            score: of this second; None: not known.
        """
        place = at_s + 0.5 / FPS  # a box belongs to the pictures half a frame around it
        while self._coming and self._coming[-1]["start_s"] <= place:
            track = self._coming.pop()
            self._there.append((track, BoxPath(track["boxes"])))
        self._there = [pair for pair in self._there if place < pair[0]["end_s"]]
        for track, path in sorted(self._there, key=lambda pair: pair[0]["chosen"]):
            colour = score_colour(score) if track["chosen"] else OTHERS
            self._box(pixels, path.at(at_s), track, colour)

    def _box(self, pixels: np.ndarray, box: np.ndarray, track: dict, colour: tuple) -> None:
        size = _letters(pixels)
        thick = max(1, round(size / 5)) * (2 if track["chosen"] else 1)
        x0, y0, x1, y1 = (round(float(side)) for side in box)
        cv2.rectangle(pixels, (x0, y0), (x1, y1), DARK, thick + 2, cv2.LINE_AA)
        cv2.rectangle(pixels, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)
        name = self._say("face {number}", number=track["number"])
        if track["chosen"] and self._judged:
            name = self._say("face {number}: speaker", number=track["number"])
        label = text_picture(f" {name} ", size, DARK, colour)
        top = y0 - thick - label.shape[0]
        put(pixels, label, x0 - thick // 2, top if top >= 0 else y1 + thick)


class Banner:
    """Words in the corner of the picture while nobody in it is compared with the sound.

    Args:
        details: what ``LipSyncInference.compute_sync_score`` returned.
    """

    def __init__(self, details: dict):
        say, self._spans = sayer(), not_compared(details)
        self._words = {"voice-over": say("voice-over"), "no face": say("no face")}

    def at(self, at_s: float) -> str | None:
        """What is said at a time, in seconds after the first picture; None: nothing."""
        why = why_not(self._spans, at_s)
        return why and self._words[why]

    def draw(self, pixels: np.ndarray, at_s: float) -> None:
        """Draw it into a picture: uint8 BGR [height, width, 3]."""
        text = self.at(at_s)
        if text is not None:
            size = round(1.3 * _letters(pixels))
            put(pixels, text_picture(f" {text} ", size, DARK, HERE), size // 2, size // 2)


def _letters(pixels: np.ndarray) -> int:
    """The height of letters in a picture, in pixels."""
    return max(10, round(min(pixels.shape[:2]) / 30))


def put(pixels: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
    """Lay a patch into a picture, moved inside where it would stand out."""
    height, width = pixels.shape[:2]
    patch = patch[:height, :width]
    x = min(max(0, x), width - patch.shape[1])
    y = min(max(0, y), height - patch.shape[0])
    pixels[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
