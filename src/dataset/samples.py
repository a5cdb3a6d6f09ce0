"""index -> samples: what there is to learn from, re-timed as it is read, and its split."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.config import DataConfig
from ..core.constants import HOP_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..core.errors import DatasetError
from ..i18n.messages import tr
from ..preprocessing.track_file import read_sample
from .index import read_index, sample_settings


class SampleData(NamedTuple):
    """Consecutive frames of a sample with the sound under them.

    Attributes:
        crop: uint8 [T, S, S].
        mfcc: float32 [4 T, n_mfcc].
        speech: bool [T].
    """

    crop: np.ndarray
    mfcc: np.ndarray
    speech: np.ndarray


@dataclass(frozen=True)
class Sample:
    """One followed face of one clip.

    Attributes:
        id: distinct in the index.
        clip: the source clip.
        speaker: who speaks, as far as known.
        group: what must not be torn apart by a split.
        path: the file of records.
        length: frames in the file.
        offset_ms: its own offset: how much its sound must be delayed to be in sync.
        known: whether that was measured; else it is 0 by assumption.
        fingerprint: of the picture and sound it was cut from and its place in them, without their
            names.
    """

    id: str
    clip: str
    speaker: str
    group: str
    path: Path
    length: int
    offset_ms: float = 0.0
    known: bool = False
    fingerprint: str = ""

    @property
    def person(self) -> str:
        """Who speaks; without a name, the clip stands for somebody of its own."""
        return self.speaker or self.group

    @property
    def source(self) -> str:
        """Where the clip comes from: the first folder of its path, up to ``__``."""
        folders = Path(self.clip).parts[:-1]
        return folders[0].split("__")[0] if folders else "–"

    @property
    def delay(self) -> int:
        """Its own offset in whole steps of 10 ms: by so much its sound is moved when it is read."""
        return round(self.offset_ms / HOP_MS)

    @property
    def moved_ms(self) -> int:
        """The same in ms."""
        return self.delay * HOP_MS

    @property
    def first(self) -> int:
        """The first frame that has sound once that is moved."""
        return max(0, -(-self.delay // HOPS_PER_FRAME))

    @property
    def n_frames(self) -> int:
        """Frames that have both then."""
        lost = -(-abs(self.delay) // HOPS_PER_FRAME)
        return max(0, self.length - lost)

    def read(self, start: int = 0, n_frames: int | None = None) -> SampleData:
        """Frames ``start … start + n_frames − 1`` of those that have both, with the sound moved.

        Raises:
            DatasetError: the file is missing or damaged.
        """
        records = read_sample(self.path)
        n_frames = self.n_frames - start if n_frames is None else n_frames
        first = self.first + start
        begin = first * HOPS_PER_FRAME - self.delay  # the step under the first frame
        whole, phase = divmod(begin, HOPS_PER_FRAME)
        around = records[whole : whole + n_frames + (phase > 0)]
        mfcc = np.ascontiguousarray(around["mfcc"]).reshape(-1, records["mfcc"].shape[-1])
        nearest = whole + (phase + HOPS_PER_FRAME // 2) // HOPS_PER_FRAME
        speech = np.take(records["speech"], np.arange(nearest, nearest + n_frames), mode="clip")
        return SampleData(
            records["crop"][first : first + n_frames],
            mfcc[phase : phase + n_frames * HOPS_PER_FRAME],
            speech,
        )


def load_samples(
    index_path: Path, settings: DataConfig, split_by: str = "clip", every: bool = False
) -> list[Sample]:
    """The samples of an index.

    Args:
        split_by: what ``Sample.group`` is: ``clip`` or ``speaker``.
        every: also those in which ``clean_offsets`` found no evidence of sync, and those too
            short for a window once their sound is moved.

    Raises:
        DatasetError: the index is missing or damaged, was made with other settings, or names no
            speakers where ``split_by`` wants them.
    """
    index = read_index(index_path)
    wanted, made = sample_settings(settings), index.get("settings", {})
    for name, value in wanted.items():
        if made.get(name) != value:
            raise DatasetError(
                tr("{path} was made with data.{name} = {made}, the settings say {value}: run "
                   "python src/data_processing.py --overwrite, or name the data.processed_dir "
                   "that was made with these",
                   path=index_path, name=name, made=made.get(name), value=value)
            )  # fmt: skip
    flat = [record["clip"] for record in index["samples"] if not record["speaker"]]
    if split_by == "speaker" and flat:
        raise DatasetError(
            tr("training.split_by: speaker: {clip} lies in no folder of its speaker; {hint}",
               clip=flat[0], hint=tr("put each speaker's clips into a folder of data/videos"))
        )  # fmt: skip
    # The same file under two names is one clip: a copy must not be tested on.
    key = {"clip": "video_sha256", "speaker": "speaker"}[split_by]
    samples = [
        Sample(
            record["id"],
            record["clip"],
            record["speaker"],
            str(record.get(key) or record["clip"]),
            index_path.parent / record["file"],
            record["n_frames"],
            float(record.get("offset_ms") or 0.0),
            bool(record.get("offset_known")),
            _fingerprint(record),
        )
        for record in index["samples"]
        if every or record.get("offset_known", True)
    ]
    return [sample for sample in samples if every or sample.n_frames >= WINDOW_FRAMES]


def _fingerprint(record: dict) -> str:
    sources = [record.get(name, "") for name in ("video_sha256", "audio_sha256", "first_frame")]
    return sha256(repr(sources).encode()).hexdigest()[:16]
