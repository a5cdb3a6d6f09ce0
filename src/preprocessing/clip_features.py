"""video + audio -> what the network sees: the one path for training and inference."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..audio.features import silent_mfcc
from ..core.constants import FPS, HOPS_PER_FRAME
from ..core.notes import ClipNote, TurnedVideo
from ..media.container import MediaInfo
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from .sample_file import CHUNK_FRAMES, RecordFile, read_sample

BLOCK_FRAMES = 60 * FPS  # of audio features that are read at a time


@dataclass
class TrackFeatures:
    """One face track with the audio features under it; ``T`` frames at 25 fps, on disk.

    Attributes:
        path: its sample (``sample_file``).
        first_frame: index of its first frame in the clip.
        n_frames: T.
        n_speech_frames: frames in which someone speaks.
        shot: number of its shot, from 0.
        area: mean area of its boxes, pixels².
        shot_begin: index of its shot's first frame, which may be before the first detection.
    """

    path: Path
    first_frame: int
    n_frames: int
    n_speech_frames: int
    shot: int = 0
    area: float = 0.0
    shot_begin: int = 0

    @property
    def crops(self) -> np.ndarray:
        """uint8 [T, size, size], grey; memory-mapped."""
        return read_sample(self.path)["crop"]

    def read_crops(self, first: int, stop: int) -> np.ndarray:
        """Read the crops of the frames ``first … stop − 1`` of the track: uint8 [n, size, size].

        No memory map of the file stays open, for what was read through it counts as memory.
        """
        return np.array(self.crops[first:stop])

    @property
    def boxes(self) -> np.ndarray:
        """float32 [T, 4], pixels x0 y0 x1 y1."""
        return np.concatenate([
            np.array(read_sample(self.path)["box"][start : start + CHUNK_FRAMES])
            for start in range(0, self.n_frames, CHUNK_FRAMES)
        ])  # fmt: skip

    @property
    def mfcc(self) -> np.ndarray:
        """float32 [4 T, n_mfcc]; hops 4t … 4t+3 lie under frame t."""
        mfcc = np.ascontiguousarray(read_sample(self.path)["mfcc"])
        return mfcc.reshape(-1, mfcc.shape[-1])

    @property
    def speech(self) -> np.ndarray:
        """bool [T], whether someone speaks."""
        return np.array(read_sample(self.path)["speech"])


class AudioFeatures:
    """MFCC and speech of the whole audio of a clip, on disk; silence after its end.

    Attributes:
        dtype: of a record: mfcc float32 [4, n_mfcc] and speech bool.
        records: one a frame, as far as the audio goes.
    """

    def __init__(self, path: Path, n_mfcc: int):
        self.dtype = np.dtype([("mfcc", "<f4", (HOPS_PER_FRAME, n_mfcc)), ("speech", "?")])
        self.records = RecordFile(path, self.dtype)

    def append(self, mfcc: np.ndarray, speech: np.ndarray) -> None:
        """The next frames: float32 [F, 4, n_mfcc], bool [F]."""
        records = np.empty(len(speech), self.dtype)
        records["mfcc"], records["speech"] = mfcc, speech
        self.records.append(records)

    def __getitem__(self, span: slice) -> np.ndarray:
        """Records of the frames ``span.start … span.stop − 1``."""
        padded = np.empty(span.stop - span.start, self.dtype)
        records = self.records[span]
        padded[: len(records)] = records
        padded["mfcc"][len(records) :] = silent_mfcc(self.dtype["mfcc"].shape[1])
        padded["speech"][len(records) :] = False
        return padded

    def blocks(self, n_frames: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """MFCC, float32 [4 F, n_mfcc], and speech, bool [F], of ``BLOCK_FRAMES`` each."""
        for start in range(0, n_frames, BLOCK_FRAMES):
            records = self[start : min(start + BLOCK_FRAMES, n_frames)]
            yield records["mfcc"].reshape(-1, records["mfcc"].shape[-1]), records["speech"]

    def read_speech(self, first: int, stop: int) -> np.ndarray:
        """Whether someone speaks in the frames ``first … stop − 1``: bool [n]."""
        # Copies: a field of records is a view, which would keep their MFCC in memory.
        return np.concatenate([
            self[start : min(start + CHUNK_FRAMES, stop)]["speech"].copy()
            for start in range(first, stop, CHUNK_FRAMES)
        ])  # fmt: skip


@dataclass
class ClipFeatures:
    """All usable face tracks of a clip, in order of time.

    Attributes:
        tracks: each at least as long as required; no two share a frame, unless all faces were
            required.
        audio: of the whole clip.
        n_frames: frames of the clip on the 25 fps grid.
        face_share: share of these that belong to a track, 0…1.
        n_faces: tracks there were to choose from.
        info: the header of the video.
        streams: the numbers of the streams that were used, and the channel, if only one was.
        notes: what was skipped or is damaged.
    """

    tracks: list[TrackFeatures]
    audio: AudioFeatures
    n_frames: int
    face_share: float
    n_faces: int
    info: MediaInfo
    streams: StreamChoice = DEFAULT_STREAMS
    notes: list[ClipNote] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return self.n_frames / FPS

    @property
    def is_turned(self) -> bool:
        """Whether the video lies on its side or is upside down, and was turned to be tracked."""
        return any(isinstance(note, TurnedVideo) for note in self.notes)

    @property
    def mfcc(self) -> np.ndarray:
        """float32 [4 n_frames, n_mfcc], of the whole clip."""
        mfcc = np.ascontiguousarray(self.audio[0 : self.n_frames]["mfcc"])
        return mfcc.reshape(-1, mfcc.shape[-1])

    @property
    def speech(self) -> np.ndarray:
        """bool [n_frames], of the whole clip."""
        return self.audio.read_speech(0, self.n_frames)
