"""video + audio -> what the network sees: the one path for training and inference."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..audio.features import silence
from ..core.constants import FPS, HOPS_PER_FRAME
from ..media.container import MediaInfo
from .track_file import PIECE, RowFile, read_sample


@dataclass
class TrackFeatures:
    """One followed face with the sound under it; ``T`` frames at 25 fps, on disk.

    Attributes:
        path: its sample (``sample_file``).
        first_frame: index of its first frame in the clip.
        n_frames: T.
        spoken: frames in which somebody speaks.
        shot: number of its shot, from 0.
        area: mean area of its boxes, pixels².
        shot_begin: index of its shot's first frame, which may be before anybody was seen.
    """

    path: Path
    first_frame: int
    n_frames: int
    spoken: int
    shot: int = 0
    area: float = 0.0
    shot_begin: int = 0

    @property
    def crops(self) -> np.ndarray:
        """uint8 [T, size, size], grey; memory-mapped."""
        return read_sample(self.path)["crop"]

    def crops_of(self, first: int, stop: int) -> np.ndarray:
        """The crops of the frames ``first … stop − 1`` of the track, read; no map of the file
        stays, for what was read through it counts as memory."""
        return np.array(self.crops[first:stop])

    @property
    def boxes(self) -> np.ndarray:
        """float32 [T, 4], pixels x0 y0 x1 y1."""
        return np.concatenate([
            np.array(read_sample(self.path)["box"][start : start + PIECE])
            for start in range(0, self.n_frames, PIECE)
        ])  # fmt: skip

    @property
    def mfcc(self) -> np.ndarray:
        """float32 [4 T, n_mfcc]; steps 4t … 4t+3 lie under frame t."""
        steps = np.ascontiguousarray(read_sample(self.path)["mfcc"])
        return steps.reshape(-1, steps.shape[-1])

    @property
    def speech(self) -> np.ndarray:
        """bool [T], whether somebody speaks."""
        return np.array(read_sample(self.path)["speech"])


class AudioFeatures:
    """MFCC and speech of the whole sound of a clip, on disk; silence after its end."""

    def __init__(self, path: Path, n_mfcc: int):
        self.kind = np.dtype([("mfcc", "<f4", (HOPS_PER_FRAME, n_mfcc)), ("speech", "?")])
        self.rows = RowFile(path, self.kind)

    def append(self, mfcc: np.ndarray, speech: np.ndarray) -> None:
        """The next frames: float32 [F, 4, n_mfcc], bool [F]."""
        rows = np.empty(len(speech), self.kind)
        rows["mfcc"], rows["speech"] = mfcc, speech
        self.rows.append(rows)

    def __getitem__(self, span: slice) -> np.ndarray:
        """Rows of the frames ``span.start … span.stop − 1``."""
        rows = np.empty(span.stop - span.start, self.kind)
        heard = self.rows[span]
        rows[: len(heard)] = heard
        rows["mfcc"][len(heard) :] = silence(self.kind["mfcc"].shape[1])
        rows["speech"][len(heard) :] = False
        return rows

    def speech_of(self, first: int, stop: int) -> np.ndarray:
        """bool, whether somebody speaks in the frames ``first … stop − 1``."""
        return np.concatenate([
            self[start : min(start + PIECE, stop)]["speech"] for start in range(first, stop, PIECE)
        ])  # fmt: skip


@dataclass
class ClipFeatures:
    """All usable tracks of a clip, in order of time.

    Attributes:
        tracks: each at least as long as was asked for; no two share a frame, unless everyone was
            asked for.
        sound: of the whole clip.
        n_frames: frames of the clip on the 25 fps grid.
        face_share: share of these that belong to a track, 0…1.
        faces: tracks there were to choose from.
        info: the header of the video.
        notes: what was left out or is not as it should be, in words.
    """

    tracks: list[TrackFeatures]
    sound: AudioFeatures
    n_frames: int
    face_share: float
    faces: int
    info: MediaInfo
    notes: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return self.n_frames / FPS

    @property
    def mfcc(self) -> np.ndarray:
        """float32 [4 n_frames, n_mfcc], of the whole clip."""
        steps = np.ascontiguousarray(self.sound[0 : self.n_frames]["mfcc"])
        return steps.reshape(-1, steps.shape[-1])

    @property
    def speech(self) -> np.ndarray:
        """bool [n_frames], of the whole clip."""
        return self.sound.speech_of(0, self.n_frames)
