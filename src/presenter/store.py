"""A presenter on disk: a person's footage, indexed once and used often.

::

    presenters/me/
        presenter.json              who, with which model, consent
        clips/<name>-<hash>/        one folder a footage file
            clip.json               the file, its offset, what was measured
            grid.npy                25 records a second: what a frame is chosen by
            frames.npy              a record for each frame of the file that shows the face
            crops.npy               its lower face, in the colours of the video
            base.npy                a record for every frame: where a mouth would be laid onto it
            audio.npy               what the sync model hears every 10 ms
        shapes.npz                  the mouth's shapes for speech, once they were trained

Plain JSON and arrays without objects: nothing in a presenter can run. A clip's folder appears whole
or not at all, so that learning can be interrupted and resumed.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import MissingFileError, OutputError, PresenterError
from ..core.files import ensure_folder, written_atomically
from ..faces.mesh import INNER_LIPS, JAW
from ..i18n.messages import tr
from .geometry import POSE_POINTS

FORMAT_VERSION = 3
PRESENTER_FILE, CLIP_FILE, CLIPS_FOLDER = "presenter.json", "clip.json", "clips"
MOUTH_SIDE = 20  # px: the mouth as frames are compared by it
POSE_VALUES = 2 * len(POSE_POINTS)

FRAME_DTYPE = np.dtype([
    ("run", "<i4"), ("number", "<i4"), ("time", "<f8"), ("opening", "<f4"), ("width", "<f4"),
    ("jaw", "<f4", (len(JAW), 2)), ("lips", "<f4", (2, len(INNER_LIPS[0]), 2)),
])  # fmt: skip

BASE_DTYPE = np.dtype([
    ("time", "<f8"), ("has_face", "?"), ("to_frame", "<f8", (3, 3)), ("jaw", "<f4", (len(JAW), 2)),
    ("pose", "<f4", (POSE_VALUES,)), ("opening", "<f4"), ("eyes", "<f4"), ("look", "<f4", (3,)),
])  # fmt: skip


def grid_dtype(embedding_dim: int) -> np.dtype:
    """The record of one frame on the 25 fps grid. ``run``: stretch without a cut or a gap."""
    return np.dtype([
        ("run", "<i4"), ("number", "<i4"), ("time", "<f8"), ("speech", "?"), ("usable", "?"),
        ("opening", "<f4"), ("width", "<f4"), ("pose", "<f4", (POSE_VALUES,)),
        ("look", "<f4", (3,)),
        ("embedding", "<f2", (embedding_dim,)),
        ("mouth", "u1", (MOUTH_SIDE, MOUTH_SIDE)),
    ])  # fmt: skip


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRecord(_Plain):
    """The sync model that made a presenter."""

    file: str
    sha256: str


class Consent(_Plain):
    """That the person agreed.

    Attributes:
        text: what was confirmed.
        confirmed_at: UTC, ISO 8601.
        how: ``asked`` at the terminal, or by the ``option``.
    """

    text: str
    confirmed_at: str
    how: Literal["asked", "option"]


class PresenterRecord(_Plain):
    """``presenter.json``."""

    format: Literal["lipsync-presenter"] = "lipsync-presenter"
    version: Literal[3] = FORMAT_VERSION
    model: ModelRecord
    consent: Consent | None = None


class ClipRecord(_Plain):
    """``clip.json``: one footage file and what was measured in it.

    Attributes:
        name: of the file, without its folder.
        path: where the file was, absolute.
        sha256: of its contents.
        face: which face was asked for.
        fps: of the file.
        duration_s: of its video.
        offset_ms: by which its audio must be delayed to be in sync; None: undetermined.
        offset_probability: that this offset is correct.
        face_px: median width of the face, pixels.
        speech_s: speech with a usable face.
        profile_share, blurred_share, hidden_share: of the frames with a face, 0…1.
        closed_share: of the usable frames, with the lips shut.
        crop_side: pixels.
        real_confidence, real_in_sync: what the judge measures in this footage; None: nothing.
    """

    name: str
    path: str
    sha256: str
    face: str
    fps: float = Field(gt=0)
    duration_s: float = Field(ge=0)
    offset_ms: float | None
    offset_probability: float | None
    face_px: float = Field(ge=0)
    speech_s: float = Field(ge=0)
    profile_share: float
    blurred_share: float
    hidden_share: float
    closed_share: float
    crop_side: int = Field(gt=0)
    real_confidence: float | None = None
    real_in_sync: float | None = None


@dataclass(frozen=True)
class FootageClip:
    """One footage file of a presenter.

    Attributes:
        record: what was measured.
        grid: records [N] of ``grid_dtype``.
        frames: records [K] of ``FRAME_DTYPE``.
        crops: uint8 [K, 3/2 S, S], memory-mapped where it is read from disk.
        audio: float16 [H, D], embeddings of the clip's audio every 10 ms, of its own clock
            (``record.offset_ms`` is not taken out), memory-mapped likewise; the first is that of
            the window around frame ``WINDOW_FRAMES // 2``.
        base: records of ``BASE_DTYPE``, of every frame of the file (``base.base_of_footage``).
    """

    record: ClipRecord
    grid: np.ndarray
    frames: np.ndarray
    crops: np.ndarray
    audio: np.ndarray
    base: np.ndarray

    @property
    def key(self) -> str:
        """The name of its folder."""
        record = self.record
        return clip_folder_name(Path(record.name), record.sha256, record.face)


@dataclass(frozen=True)
class Presenter:
    """A person's footage, ready to be chosen from.

    Attributes:
        folder: where it is.
        record: of ``presenter.json``.
        clips: at least one.
    """

    folder: Path
    record: PresenterRecord
    clips: list[FootageClip] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its folder, for messages."""
        return self.folder.name


def read_presenter_record(folder: str | Path) -> PresenterRecord:
    """``presenter.json`` of a folder.

    Raises:
        MissingFileError, PresenterError.
    """
    return _read_json(Path(folder) / PRESENTER_FILE, PresenterRecord, folder)


def write_presenter_record(folder: str | Path, record: PresenterRecord) -> None:
    """Write ``presenter.json``.

    Raises:
        OutputError.
    """
    path = ensure_folder(folder) / PRESENTER_FILE
    with written_atomically(path) as temporary_path:
        _write_json(temporary_path, record)


def clip_folder_name(path: Path, sha256: str, face: str) -> str:
    """The folder of a footage file: the same file and face always give the same one."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem)[:40]
    suffix = "" if face == "speaking" else f"-{face}"
    return f"{plain}-{sha256[:12]}{suffix}"


@contextmanager
def clip_written(folder: str | Path, name: str) -> Iterator[Path]:
    """A temporary folder that becomes ``clips/<name>`` when the block succeeds.

    Raises:
        OutputError: it cannot be written.
    """
    parent = ensure_folder(Path(folder) / CLIPS_FOLDER)
    # Unique, as another machine may have a process of the same number.
    temporary = parent / f".{name}-{secrets.token_hex(4)}"
    try:
        temporary.mkdir()
        yield temporary
        shutil.rmtree(parent / name, ignore_errors=True)
        os.replace(temporary, parent / name)
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(tr("cannot write {path}: {why}", path=parent / name, why=why)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_clip_record(folder: Path, record: ClipRecord) -> None:
    """Write ``clip.json`` into a clip's folder."""
    _write_json(folder / CLIP_FILE, record)


def read_clip_record(folder: Path) -> ClipRecord:
    """``clip.json`` of a clip's folder. Raises PresenterError, MissingFileError."""
    return _read_json(folder / CLIP_FILE, ClipRecord, folder.parents[1])


def load_presenter(folder: str | Path) -> Presenter:
    """A presenter with all of its clips; crops stay on disk.

    Raises:
        MissingFileError: there is none.
        PresenterError: it is damaged, or has no clip.
    """
    folder = Path(folder)
    record = read_presenter_record(folder)
    parent = folder / CLIPS_FOLDER
    folders = sorted(path for path in parent.glob("[!.]*") if path.is_dir())
    clips = [load_clip(path) for path in folders]
    if not clips:
        raise PresenterError(
            tr("{path} holds no usable footage: run python src/learn_presenter.py again",
               path=folder)
        )  # fmt: skip
    return Presenter(folder, record, clips)


def load_clip(folder: Path) -> FootageClip:
    """One clip of a presenter. Raises PresenterError: it is damaged."""
    record = read_clip_record(folder)
    try:
        grid, frames, crops, audio, base = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("grid", "frames", "crops", "audio", "base")
        )
        side = record.crop_side
        dimension = grid.dtype["embedding"].shape[0]
        if grid.dtype != grid_dtype(dimension) or frames.dtype != FRAME_DTYPE:
            raise ValueError("other fields")
        if crops.dtype != np.uint8 or crops.shape != (len(frames), side * 3 // 2, side):
            raise ValueError("other shapes")
        if audio.dtype != np.float16 or audio.shape[1:] != (dimension,):
            raise ValueError("other shapes")
        if base.dtype != BASE_DTYPE:
            raise ValueError("other fields")
        if not grid.ndim == frames.ndim == base.ndim == 1:
            raise ValueError("other shapes")
        if not (len(grid) and len(frames) and len(audio) and len(base)):
            raise ValueError("empty")
        grid, frames, base = np.array(grid), np.array(frames), np.array(base)
        for name in ("opening", "width", "pose", "look", "embedding", "time"):
            if not np.isfinite(grid[name]).all():
                raise ValueError(f"{name}: not finite")
        if not all(np.isfinite(frames[name]).all() for name in ("time", "jaw", "lips")):
            raise ValueError("frames: not finite")
        of_faces = base[base["has_face"]]
        if not all(np.isfinite(of_faces[name]).all() for name in BASE_DTYPE.names):
            raise ValueError("base: not finite")
        if not (np.isfinite(base["time"]).all() and (np.diff(base["time"]) >= 0).all()):
            raise ValueError("base: other times")
        if not np.isfinite(audio).all():
            raise ValueError("audio: not finite")
        if not np.isin(grid["run"], frames["run"]).all():
            raise ValueError("other runs")
    # numpy raises nearly anything for a damaged header.
    except Exception as error:
        raise PresenterError(
            tr("the presenter {path} is damaged ({why}): run python src/learn_presenter.py again",
               path=folder.parents[1], why=str(error)[:200])
        ) from None  # fmt: skip
    return FootageClip(record, grid, frames, crops, audio, base)


def _write_json(path: Path, record: BaseModel) -> None:
    """File names in it need not be UTF-8."""
    text = json.dumps(record.model_dump(), indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _read_json(path: Path, kind: type, presenter: str | Path):
    """A record of a presenter, validated."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        content = json.loads(text)
        version = content.get("version") if isinstance(content, dict) else None
        if isinstance(version, int) and 1 <= version < FORMAT_VERSION:
            raise PresenterError(
                tr("the presenter {path} was made by an earlier version of this program: make it "
                   "again in a new folder with python src/learn_presenter.py", path=presenter)
            )  # fmt: skip
        return kind.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(
            tr("{path} is not a presenter: make one with python src/learn_presenter.py "
               "--footage VIDEO --output {path}", path=presenter)
        ) from None  # fmt: skip
    # A ValidationError and a JSONDecodeError are ValueErrors, too, as is a number of 5,000 digits.
    except (OSError, ValueError, RecursionError) as error:
        why = str(error).splitlines()[0][:200]
        raise PresenterError(
            tr("the presenter {path} is damaged ({why}): run python src/learn_presenter.py again",
               path=presenter, why=why)
        ) from None  # fmt: skip
