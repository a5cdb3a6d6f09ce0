"""Frames, mouths, presenters and bases with chosen values, without any video."""

from pathlib import Path

import av
import cv2
import numpy as np

from src.media.container import MediaInfo
from src.media.frame import FULL_RANGE, VideoFrame
from src.presenter.base import BaseVideo
from src.presenter.footage import Footage
from src.presenter.selection import FootageFrames
from src.presenter.store import (
    BASE_DTYPE,
    FRAME_DTYPE,
    POSE_VALUES,
    ClipRecord,
    FootageClip,
    ModelRecord,
    Presenter,
    PresenterRecord,
    grid_dtype,
)

DIM, SIDE = 8, 16  # of embeddings; of crops, pixels
SHA256 = "0" * 64


# ---------------------------------------------------------------------------- images


def texture(height: int, width: int, seed: int, detail: float = 3.0) -> np.ndarray:
    """float64 [height, width] around 125, smooth over ``detail`` pixels."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), detail)
    return 125 + 28 * smooth / smooth.std()


def make_planes(height: int, width: int, seed: int, detail: float = 3.0) -> list[np.ndarray]:
    """Luma and both chroma planes of a smooth random image, uint8."""
    luma, blue, red = (texture(height, width, seed + k, detail) for k in range(3))
    return to_planes(luma, 128 + 0.5 * (blue - 125), 128 + 0.5 * (red - 125))


def to_planes(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> list[np.ndarray]:
    """float [height, width] each, even sides -> luma and chroma of half its size, uint8. Samples
    of the chroma are means of four pixels."""
    height, width = luma.shape
    halves = [p.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for p in (blue, red)]
    return [np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in (luma, *halves)]


def frame_of(planes: list[np.ndarray], is_full_range: bool = False) -> VideoFrame:
    """A frame as a decoder outputs it (planar 4:2:0): rows are padded."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    if is_full_range:
        frame.color_range = FULL_RANGE
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = np.full((target.height, target.line_size), 77, np.uint8)
        rows[:, : target.width] = plane
        target.update(rows.tobytes())
    return VideoFrame(frame, None)


def similarity_matrix(pixels_per_unit: float, angle: float, x: float, y: float) -> np.ndarray:
    """float64 [3, 3], from template units to pixels; the template's origin is at (x, y)."""
    cos, sin = pixels_per_unit * np.cos(angle), pixels_per_unit * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1.0]])


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """In dB, of 8-bit values."""
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def jaw_points(chin: float = 80.0, half_width: float = 38.0) -> np.ndarray:
    """float32 [17, 2], a jaw from ear to ear, template units: half an ellipse around (48, 40)."""
    angle = np.linspace(np.pi, 0, 17)
    x, y = 48 + half_width * np.cos(angle), 40 + (chin - 40) * np.sin(angle)
    return np.stack([x, y], 1).astype(np.float32)


def lip_points(gap: float = 0.0, middle: float = 60.0) -> np.ndarray:
    """float32 [2, 11, 2], inner edges of lips around (48, ``middle``), ``gap`` apart in the middle
    and together at the corners, template units."""
    x = np.linspace(34, 62, 11)
    half = gap / 2 * (1 - ((x - 48) / 14) ** 2)
    return np.stack([np.stack([x, middle - half], 1), np.stack([x, middle + half], 1)]).astype("f4")


# ---------------------------------------------------------------------------- presenters


def clip_record(**changes) -> ClipRecord:
    """Of good footage."""
    values = {
        "name": "me.mp4", "path": "/footage/me.mp4", "sha256": SHA256, "face": "speaking",
        "fps": 25.0, "duration_s": 60.0,
        "offset_ms": 0.0, "offset_probability": 0.99, "face_px": 200.0, "speech_s": 40.0,
        "profile_share": 0.0, "blurred_share": 0.0, "hidden_share": 0.0, "closed_share": 0.2,
        "crop_side": SIDE,
    } | changes  # fmt: skip
    return ClipRecord(**values)


def footage_clip(
    runs: tuple[tuple[float, float], ...] = ((0.0, 2.0),), fps: float = 25.0, seed: int = 0,
    side: int = SIDE, **changes,
) -> FootageClip:  # fmt: skip
    """A clip with random values; the luma of the crop in row ``k`` is ``k`` (modulo 256).

    Args:
        runs: (begin, end) of each stretch with the face, seconds.
        fps: of the file.
        changes: of its record.
    """
    rng = np.random.default_rng(seed)
    grids, frames = [], []
    for number, (begin, end) in enumerate(runs):
        grid = np.zeros(round((end - begin) * 25), grid_dtype(DIM))
        grid["run"], grid["number"] = number, round(begin * 25) + np.arange(len(grid))
        grid["time"] = grid["number"] / 25
        grid["speech"] = grid["usable"] = True
        rows = np.zeros(round((end - begin) * fps), FRAME_DTYPE)
        rows["run"], rows["number"] = number, round(begin * fps) + np.arange(len(rows))
        rows["time"] = rows["number"] / fps
        rows["jaw"], rows["lips"] = jaw_points(), lip_points()
        grids.append(grid)
        frames.append(rows)
    grid, rows = np.concatenate(grids), np.concatenate(frames)
    vectors = rng.normal(0, 1, (len(grid), DIM))
    grid["embedding"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    grid["opening"], grid["width"] = rng.uniform(0, 12, len(grid)), rng.uniform(30, 40, len(grid))
    grid["pose"] = rng.normal(48, 1, (len(grid), POSE_VALUES))
    grid["look"] = 140
    grid["mouth"] = rng.integers(0, 256, grid["mouth"].shape)
    crops = np.full((len(rows), side * 3 // 2, side), 128, np.uint8)
    crops[:, :side] = (np.arange(len(rows)) % 256)[:, None, None]
    audio = rng.normal(0, 1, (4 * len(grid), DIM)).astype(np.float16)
    base = np.zeros(len(rows), BASE_DTYPE)
    base["time"], base["has_face"], base["jaw"] = rows["time"], True, rows["jaw"]
    base["to_frame"], base["eyes"], base["look"] = np.eye(3), 6, 140
    record = clip_record(fps=fps, crop_side=side, **changes)
    return FootageClip(record, grid, rows, crops, audio, base)


def presenter_of(*clips: FootageClip, sha256: str = SHA256, folder: Path = Path("me")) -> Presenter:
    """A presenter without files."""
    record = PresenterRecord(model=ModelRecord(file="model.pth", sha256=sha256))
    return Presenter(folder, record, list(clips))


def footage_of(presenter: Presenter) -> Footage:
    """The frames of clips without unusable ones, all mouths alike."""
    grids = [clip.grid for clip in presenter.clips]
    clip = np.repeat(np.arange(len(grids)), [len(grid) for grid in grids])
    grid = np.concatenate(grids)
    follows = np.zeros(len(grid), bool)
    follows[1:] = (np.diff(clip) == 0) & (np.diff(grid["number"]) == 1)
    frames = FootageFrames(
        grid["embedding"].astype(np.float32), follows, grid["pose"], grid["opening"],
        np.zeros((len(grid), 4), np.float32), grid["opening"] < 2, grid["look"],
    )  # fmt: skip
    return Footage(clip, grid["run"], grid["time"], grid["speech"], frames, 2.0)


# ---------------------------------------------------------------------------- bases


def base_video(
    times: np.ndarray, path: Path = Path("base.mp4"), to_frame: np.ndarray | None = None, **changes
) -> BaseVideo:
    """A base whose face is still, in frames at these times (seconds).

    Args:
        to_frame: of each frame, or of all of them.
        changes: other arrays.
    """
    n_frames = len(times)
    matrix = similarity_matrix(1, 0, 0, 0) if to_frame is None else to_frame
    step = np.median(np.diff(times)) if n_frames > 1 else 1 / 25
    values = {
        "has_face": np.ones(n_frames, bool),
        "to_frame": np.array(np.broadcast_to(matrix, (n_frames, 3, 3))),
        "jaw": np.repeat(jaw_points()[None], n_frames, 0),
        "pose": np.full((n_frames, POSE_VALUES), 48, np.float32),
        "opening": np.zeros(n_frames, np.float32),
        "eyes": np.full(n_frames, 6, np.float32),
        "look": np.full((n_frames, 3), 140, np.float32),
    } | changes
    info = MediaInfo(path, True, False, fps=float(1 / step))
    return BaseVideo(path, info, np.asarray(times, float), **values)
