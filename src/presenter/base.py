"""The base: the video that the new mouth is laid onto, and how it goes on as long as the speech."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..core.constants import FPS, WINDOW_FRAMES
from ..core.errors import ClipTooShortError, NoAudioError, SilentAudioError
from ..core.progress import Progress, no_progress
from ..media.container import MediaInfo, probe
from ..preprocessing.extract import ExtractOptions, extract_clip
from ..scoring.clip_evidence import compute_clip_evidence
from ..scoring.clip_scoring import score_clip
from ..scoring.speakers import choose_largest
from .face_frames import FaceFrames, FaceTrackBoxes, check_upright, locate_face
from .geometry import measure_shapes, place_faces
from .store import BASE_DTYPE, FootageClip
from .sync_tools import SyncTools

TURN_SEARCH_S = 2.0  # near the ends, the base turns round where the head is stillest
MIN_EYES_OPEN = 0.6  # of the median: a turn within a blink would show


@dataclass(frozen=True)
class BaseVideo:
    """A video with the face in each of its ``N`` frames.

    Attributes:
        path: of the file.
        info: its header.
        times: float64 [N], seconds after the first frame.
        has_face: bool [N].
        to_frame: float64 [N, 3, 3], from template units to pixels.
        jaw: float32 [N, 17, 2], template units.
        pose: float32 [N, P]; NaN without a face.
        opening: float32 [N], gap of the lips, template units; NaN without a face.
        eyes: float32 [N], gap of the eyelids; NaN without a face.
        look: float32 [N, 3], Cr, Cb and luma of the mouth, medians of each shot; NaN without a
            face.
    """

    path: Path
    info: MediaInfo
    times: np.ndarray
    has_face: np.ndarray
    to_frame: np.ndarray
    jaw: np.ndarray
    pose: np.ndarray
    opening: np.ndarray
    eyes: np.ndarray
    look: np.ndarray

    @property
    def fps(self) -> float:
        return self.info.fps or FPS

    @property
    def frame_s(self) -> float:
        """How long a frame is displayed, in the median."""
        if len(self.times) < 2:
            return 1 / self.fps
        return float(np.median(np.diff(self.times)))


def locate_base(
    path: str | Path,
    speech_path: str | Path,
    tools: SyncTools,
    face: str | int = "speaking",
    progress: Progress = no_progress,
) -> BaseVideo:
    """Find the face whose mouth is re-made in every frame of a video.

    Args:
        path: the video; its own audio, if it has any, only tells who speaks.
        speech_path: the new audio.
        face: as in ``speakers.choose_faces``.

    Raises:
        MediaError: the video cannot be read, or shows no face.
        PresenterError: it lies on its side or is upside down.
        ConfigError: there is no such face.
    """
    path = Path(path)
    info = probe(path)
    with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as work:
        tracks = _choose_tracks(path, speech_path, Path(work), tools, face, progress)
    frames = locate_face(path, tracks, progress, info.n_source_frames)
    return _base_of(path, info, base_records(frames, info.fps or FPS))


def base_of_footage(clip: FootageClip, path: str | Path) -> BaseVideo:
    """A base that is footage of the presenter: its face was found when it was learned.

    Args:
        clip: the footage.
        path: where its file is now.

    Raises:
        MediaError: it cannot be read.
    """
    return _base_of(Path(path), probe(path), clip.base)


def base_records(frames: FaceFrames, fps: float) -> np.ndarray:
    """What is needed to lay a mouth onto each frame: records [N] of ``BASE_DTYPE``.

    Args:
        frames: the face in each of them.
        fps: of the file.
    """
    records = np.zeros(len(frames.times), BASE_DTYPE)
    records["time"] = frames.times
    for name in ("pose", "opening", "eyes", "look"):
        records[name] = np.nan
    for first, stop in frames.runs():
        part = records[first:stop]
        landmarks = frames.landmarks[first:stop]
        placement = place_faces(landmarks, fps)
        shape = measure_shapes(landmarks, placement, fps)
        part["has_face"] = True
        part["to_frame"] = [placement.to_frame(index) for index in range(stop - first)]
        part["jaw"], part["pose"] = shape.jaw, shape.pose
        part["opening"], part["eyes"] = shape.opening, shape.eyes
        part["look"] = np.median(frames.look[first:stop], axis=0)
    return records


def _base_of(path: Path, info: MediaInfo, records: np.ndarray) -> BaseVideo:
    """The base of its records."""
    names = ("time", "has_face", "to_frame", "jaw", "pose", "opening", "eyes", "look")
    return BaseVideo(path, info, *(np.ascontiguousarray(records[name]) for name in names))


def _choose_tracks(
    path: Path, speech_path: str | Path, work: Path, tools: SyncTools, face: str | int,
    progress: Progress,
) -> list[FaceTrackBoxes]:  # fmt: skip
    """The face tracks of the presenter: of the speaker, or where nobody speaks the largest."""
    options = ExtractOptions(threads=0, all_faces=True)
    first, second = work / "own", work / "new"
    try:
        first.mkdir()
        clip = extract_clip(path, None, tools.data, tools.detector, first, options, progress)
    except (NoAudioError, SilentAudioError, ClipTooShortError):  # faces need no audio
        second.mkdir()
        clip = extract_clip(
            path, speech_path, tools.data, tools.detector, second, options, progress
        )
    check_upright(path, clip)
    evidence = compute_clip_evidence(tools.model, clip, tools.max_offset_hops, progress)
    scored = score_clip(clip, evidence, face, tools.calibration, tools.min_probability)
    chosen = scored.speakers.chosen
    if face == "speaking" and scored.result.offset_ms is None:
        chosen = choose_largest(scored.faces).chosen
    return [
        FaceTrackBoxes(track.first_frame, track.boxes)
        for track in chosen
        if len(track.boxes) >= WINDOW_FRAMES
    ]


@dataclass(frozen=True)
class BasePlan:
    """Which frame of the base is under each output frame.

    Attributes:
        numbers: int64 [M], frames of the base.
        times: float64 [M], seconds at which they are displayed, rising.
    """

    numbers: np.ndarray
    times: np.ndarray


def plan_base(base: BaseVideo, duration_s: float) -> BasePlan:
    """Play the base from its beginning; where the speech is longer, turn round and go back.

    It turns where the head is stillest, and never within a blink.

    Args:
        duration_s: of the speech.
    """
    last = len(base.times) - 1
    steps = np.append(np.diff(base.times), base.frame_s)
    if base.times[-1] + base.frame_s >= duration_s - 1e-6 or last == 0:
        count = int(np.searchsorted(base.times, duration_s - 1e-6)) if last else 1
        numbers = np.arange(count)
        if last:
            return BasePlan(numbers, base.times[:count].copy())
    late, early = _turning_points(base)
    path = [np.arange(late + 1)]
    there_and_back = np.concatenate([
        np.arange(late - 1, early - 1, -1), np.arange(early + 1, late + 1)
    ])  # fmt: skip
    if not len(there_and_back):
        there_and_back = np.array([late])
    cycle_s = max(float(steps[there_and_back].sum()), base.frame_s)
    path += [there_and_back] * (int(duration_s / cycle_s) + 1)
    numbers = np.concatenate(path)
    times = np.concatenate([[0.0], np.cumsum(steps[numbers])])[:-1]
    count = max(1, int(np.searchsorted(times, duration_s - 1e-6)))
    return BasePlan(numbers[:count], times[:count])


def _turning_points(base: BaseVideo) -> tuple[int, int]:
    """Frames near the end and near the beginning at which the base turns round."""
    centre = np.einsum("nij,j->ni", base.to_frame, [48.0, 20.0, 1.0])[:, :2]
    speed = np.linalg.norm(np.gradient(centre, axis=0), axis=1) if len(centre) > 1 else centre[:, 0]
    pixels_per_unit = np.linalg.norm(base.to_frame[:, :2, 0], axis=1)
    cost = speed / np.maximum(pixels_per_unit, 1e-6)
    with np.errstate(invalid="ignore"):
        open_eyes = np.nanmedian(base.eyes) if base.has_face.any() else 0.0
        cost = cost + 10 * ~(base.eyes > MIN_EYES_OPEN * open_eyes) + 10 * ~base.has_face
    n_search = min(round(TURN_SEARCH_S * base.fps), max(1, len(cost) // 3))
    late = len(cost) - n_search + int(np.argmin(cost[-n_search:]))
    return late, int(np.argmin(cost[:n_search]))
