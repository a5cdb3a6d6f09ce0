"""The shapes that a person's mouth takes for speech, learned from their footage.

A small network gives, for what the sync model hears in nine frames of audio and for how the head is
turned, what the lower face looks like to the sync model: coefficients of the principal components
of this person's face. Nothing of the base is put in, so nothing of its old mouth can come out. It
draws softly and in grey; what is displayed are real frames, warped into these shapes (``reshape``).
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from ..core.errors import PresenterError
from ..core.files import written_atomically
from ..i18n.messages import tr
from .store import Presenter

SHAPES_FILE = "shapes.npz"
FORMAT_VERSION = 1
CONTEXT = 4  # frames of audio before and after a frame that its mouth depends on
AUDIO_FEATURES, HIDDEN = 64, 256
DROPOUT = 0.1
MAX_VALUES = 200_000_000  # in one array of a file: more is not of a face


class ShapesHeader(BaseModel):
    """What the arrays of a ``shapes.npz`` are of.

    Attributes:
        model: SHA-256 of the sync model's file.
        clips: folder names of the clips, in the order of their codes.
        region: height and width in pixels.
        audio_dim, pose_dim, components: sizes of the network's inputs and output.
        steps: of the training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field("lipsync-mouth-shapes", pattern="^lipsync-mouth-shapes$")
    version: int = Field(FORMAT_VERSION, ge=FORMAT_VERSION, le=FORMAT_VERSION)
    model: str
    clips: list[str] = Field(min_length=1)
    region: tuple[int, int]
    audio_dim: int = Field(ge=1, le=8192)
    pose_dim: int = Field(ge=1, le=256)
    components: int = Field(ge=1, le=512)
    steps: int = Field(ge=0)


class ShapeNetwork(nn.Module):
    """Audio around a frame, pose and clip -> principal components of the lower face."""

    def __init__(self, audio_dim: int, pose_dim: int, n_clips: int, components: int):
        super().__init__()
        self.audio = nn.Linear(audio_dim, AUDIO_FEATURES)
        self.context = nn.Linear((2 * CONTEXT + 1) * AUDIO_FEATURES, HIDDEN)
        self.head = nn.Linear(pose_dim + n_clips, HIDDEN)
        self.layers = nn.Sequential(
            nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, components),
        )  # fmt: skip

    def forward(self, audio: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        """[N, 9, D] audio embeddings, [N, P + C] pose and clip -> [N, K]."""
        heard = F.gelu(self.audio(audio).flatten(-2))
        return self.layers(self.context(heard) + self.head(head))


@dataclass(frozen=True)
class FaceSpace:
    """Principal components of a person's lower face, mouth weighted.

    Attributes:
        draw: float32 [K, P], from components (deviation about 1) to normalised pixels …
        mean: float32 [P], … around this mean.
        project: float32 [P, K], from the deviation of normalised pixels to components.
        levels: float32 [C, 2], mean and deviation of each clip's grey values, 0…1.
        pose_mean, pose_scale: float32 [12], template units.
    """

    draw: np.ndarray
    mean: np.ndarray
    project: np.ndarray
    levels: np.ndarray
    pose_mean: np.ndarray
    pose_scale: np.ndarray

    def head(self, pose: np.ndarray, clip: np.ndarray) -> np.ndarray:
        """The network's second input, float32 [N, P + C], of poses [N, P] and clip numbers [N]."""
        codes = np.eye(len(self.levels), dtype=np.float32)[clip]
        turned = (pose - self.pose_mean) / self.pose_scale
        return np.concatenate([turned, codes], axis=1).astype(np.float32)

    def project_region(self, region: np.ndarray, clip: int) -> np.ndarray:
        """Components of a region: uint8 [height, width] -> float32 [K]."""
        mean, deviation = self.levels[clip]
        values = (region.ravel().astype(np.float32) / 255 - mean) / deviation
        return (values - self.mean) @ self.project

    def draw_region(self, components: np.ndarray, clip: int, shape: tuple[int, int]) -> np.ndarray:
        """The region with some components: float32 [K] -> uint8 [height, width]."""
        mean, deviation = self.levels[clip]
        values = (components @ self.draw + self.mean) * deviation + mean
        return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8).reshape(shape)


@dataclass(frozen=True)
class MouthShapes:
    """A trained network with the space that it draws in.

    Attributes:
        header: what it is of.
        space: principal components.
        network: in evaluation mode.
    """

    header: ShapesHeader
    space: FaceSpace
    network: ShapeNetwork

    @torch.inference_mode()
    def shape(self, audio: np.ndarray, pose: np.ndarray, clip: np.ndarray) -> np.ndarray:
        """The shape of the mouth at consecutive frames.

        Args:
            audio: float32 [T, D], embeddings of the audio at 25 fps.
            pose: float32 [T, P], of the frames it is drawn for.
            clip: int [T], their clips.

        Returns:
            float32 [T, K], principal components.
        """
        context = torch.from_numpy(with_context(audio))
        head = torch.from_numpy(self.space.head(pose, clip))
        parts = zip(context.split(4096), head.split(4096), strict=True)
        return torch.cat([self.network(*part) for part in parts]).numpy()

    def save(self, path: Path) -> None:
        """Write ``shapes.npz``. Raises OutputError."""
        header = np.frombuffer(self.header.model_dump_json().encode(), np.uint8)
        weights = {f"network.{k}": v.numpy() for k, v in self.network.state_dict().items()}
        with written_atomically(path) as temporary_path, temporary_path.open("wb") as file:
            np.savez(file, header=header, **vars(self.space), **weights)


def with_context(audio: np.ndarray) -> np.ndarray:
    """Audio embeddings [T, D] -> those around each frame, float32 [T, 9, D]."""
    around = np.arange(len(audio))[:, None] + np.arange(-CONTEXT, CONTEXT + 1)
    return audio[np.clip(around, 0, len(audio) - 1)].astype(np.float32)


def load_shapes(path: Path) -> MouthShapes:
    """Read ``shapes.npz``; nothing in it can run.

    Raises:
        PresenterError: it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > 8 * MAX_VALUES:
                raise ValueError("too large")
        with np.load(path, allow_pickle=False) as arrays:
            header = ShapesHeader.model_validate(json.loads(arrays["header"].tobytes()))
            space = FaceSpace(**{name: arrays[name] for name in FaceSpace.__annotations__})
            network = ShapeNetwork(
                header.audio_dim, header.pose_dim, len(header.clips), header.components
            )
            weights = {
                name: torch.from_numpy(arrays[f"network.{name}"]) for name in network.state_dict()
            }
        _check(header, space, weights)
        network.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, ValidationError,
            zipfile.BadZipFile, RecursionError) as error:  # fmt: skip
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise PresenterError(
            tr("{path} is damaged ({why}): run python src/train_presenter.py again",
               path=path, why=why)
        ) from None  # fmt: skip
    return MouthShapes(header, space, network.eval())


def _check(header: ShapesHeader, space: FaceSpace, weights: dict[str, torch.Tensor]) -> None:
    """Raises ValueError: shapes that do not fit, or values that are none."""
    n_pixels, n_clips = header.region[0] * header.region[1], len(header.clips)
    expected = {
        "draw": (header.components, n_pixels), "mean": (n_pixels,),
        "project": (n_pixels, header.components), "levels": (n_clips, 2),
        "pose_mean": (header.pose_dim,), "pose_scale": (header.pose_dim,),
    }  # fmt: skip
    for name, shape in expected.items():
        values = getattr(space, name)
        if values.dtype != np.float32 or values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"{name}: other values")
    for name, values in weights.items():
        if values.dtype != torch.float32 or not torch.isfinite(values).all():
            raise ValueError(f"{name}: other values")


def find_shapes(presenter: Presenter) -> tuple[MouthShapes | None, str | None]:
    """The shapes that were trained for a presenter, and if they cannot be used, why.

    Raises:
        PresenterError: their file is damaged.
    """
    path = presenter.folder / SHAPES_FILE
    if not path.is_file():
        return None, None
    shapes = load_shapes(path)
    if shapes.header.model != presenter.record.model.sha256:
        return None, tr("{path} was trained with another model and is not used: run "
                        "python src/train_presenter.py again", path=path)  # fmt: skip
    if not {clip.key for clip in presenter.clips} <= set(shapes.header.clips):
        return None, tr("footage was added since the shapes of the mouth were trained; they are "
                        "not used: run python src/train_presenter.py again")  # fmt: skip
    return shapes, None
