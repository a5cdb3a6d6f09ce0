"""index -> samples: their clip offset is compensated as they are read."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.config import DataConfig
from ..core.constants import HOP_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..core.errors import DatasetError
from ..i18n.messages import tr
from ..preprocessing.sample_file import read_sample
from .index import read_index, sample_settings, settings_difference
from .tar_shards import ShardPart, part_of, shards_place, usable_index


class SampleData(NamedTuple):
    """Consecutive frames of a sample with the audio features under them.

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
    """One face track of one clip.

    Attributes:
        id: unique in the index.
        clip: the source clip.
        speaker: who speaks, as far as known.
        group: samples of one group stay together in a split.
        path: the file of records.
        length: frames in the file.
        offset_ms: the clip offset: how much its audio must be delayed to be in sync.
        offset_known: whether that was measured; otherwise it is 0 by assumption.
        fingerprint: hash of the video and audio it comes from and its position in them, without
            their names.
        clip_frame: the frame of the clip at which the file begins.
        begin, end: frames ``begin … end − 1`` of the file are used; None: to its end.
        part_of_shard: where its frames are in a shard; None: in the file of its own.
    """

    id: str
    clip: str
    speaker: str
    group: str
    path: Path
    length: int
    offset_ms: float = 0.0
    offset_known: bool = False
    fingerprint: str = ""
    clip_frame: int = 0
    begin: int = 0
    end: int | None = None
    part_of_shard: ShardPart | None = None

    @property
    def speaker_id(self) -> str:
        """Who speaks; without a name, each clip counts as a speaker of its own."""
        return self.speaker or self.group

    @property
    def source(self) -> str:
        """Where the clip comes from: the first folder of its path, up to ``__``."""
        folders = Path(self.clip).parts[:-1]
        return folders[0].split("__")[0] if folders else "–"

    @property
    def shift_hops(self) -> int:
        """The clip offset in whole hops of 10 ms: by so much the audio is shifted when read."""
        return round(self.offset_ms / HOP_MS)

    @property
    def shift_ms(self) -> int:
        """The same in ms."""
        return self.shift_hops * HOP_MS

    @property
    def first_frame(self) -> int:
        """The first frame used of those that have audio after the shift."""
        return max(self.begin, -(-self.shift_hops // HOPS_PER_FRAME))

    @property
    def n_frames(self) -> int:
        """Frames used that have both video and audio after the shift."""
        stop = self.length - max(0, -(self.shift_hops // HOPS_PER_FRAME))
        if self.end is not None:
            stop = min(stop, self.end)
        return max(0, stop - self.first_frame)

    def part(self, begin: int, end: int, group: str) -> "Sample":
        """The frames ``begin … end − 1`` of its file as a sample of another group."""
        if (begin, end) == (0, self.length):
            return replace(self, group=group)
        name = f"{self.fingerprint} {begin} {end}"
        return replace(
            self, begin=begin, end=end, group=group, id=f"{self.id}@{begin}",
            fingerprint=sha256(name.encode()).hexdigest()[:16],
        )  # fmt: skip

    def read(self, start: int = 0, n_frames: int | None = None) -> SampleData:
        """Frames ``start … start + n_frames − 1`` of those that have both, with shifted audio.

        Raises:
            DatasetError: the file is missing or damaged: shorter than the index says, or with
                numbers that are none.
        """
        n_frames = self.n_frames - start if n_frames is None else n_frames
        first = self.first_frame + start
        first_hop = first * HOPS_PER_FRAME - self.shift_hops  # of the audio under the first frame
        audio_frame, phase = divmod(first_hop, HOPS_PER_FRAME)
        nearest = audio_frame + (phase + HOPS_PER_FRAME // 2) // HOPS_PER_FRAME
        # The frames of the file that are needed; of the audio, one more.
        low = max(0, min(first, audio_frame))
        high = min(self.length, max(first, audio_frame + 1) + n_frames)
        records = self._records(low, high)
        audio_records = records[audio_frame - low : audio_frame - low + n_frames + (phase > 0)]
        mfcc = np.ascontiguousarray(audio_records["mfcc"]).reshape(-1, records["mfcc"].shape[-1])
        if not np.isfinite(mfcc).all():
            raise self._damaged(tr("mfcc that are not numbers"))
        near = np.arange(nearest, nearest + n_frames) - low
        return SampleData(
            records["crop"][first - low : first - low + n_frames],
            mfcc[phase : phase + n_frames * HOPS_PER_FRAME],
            np.take(records["speech"], near, mode="clip"),
        )

    def _records(self, start: int, stop: int) -> np.ndarray:
        """The frames ``start … stop − 1`` of the file or the shard."""
        if self.part_of_shard is not None:
            return self.part_of_shard.read(start, stop)
        records = read_sample(self.path)
        if len(records) < self.length:
            raise self._damaged(
                tr("{n} frames instead of {expected}", n=len(records), expected=self.length)
            )
        return records[start:stop]

    def _damaged(self, why: str) -> DatasetError:
        return DatasetError(
            tr("the sample {path} is damaged ({why}): delete it and run "
               "python src/data_processing.py again", path=self.path, why=why)
        )  # fmt: skip


def load_samples(
    index_path: Path, settings: DataConfig, split_by: str = "clip", include_unusable: bool = False
) -> list[Sample]:
    """The samples of an index: of ``data.shards``, where ``data.format`` says so.

    Args:
        index_path: of samples in single files.
        split_by: what ``Sample.group`` is: ``clip`` or ``speaker``.
        include_unusable: also those whose clip offset ``clean_offsets`` could not measure, and
            those too short for a window once their audio is shifted.

    Raises:
        DatasetError: the index is missing or damaged, was made with other settings, or names no
            speakers where ``split_by`` requires them.
        StorageError: the shards cannot be read.
    """
    is_sharded, place = settings.format == "shards", shards_place(settings)
    index = usable_index(settings) if is_sharded else read_index(index_path)
    difference = settings_difference(index.get("settings"), sample_settings(settings))
    if difference:
        raise DatasetError(
            tr("{path} was made with data.{name} = {made}, the settings say {value}: run "
               "python src/data_processing.py --overwrite, or use the data.processed_dir that "
               "was made with these", path=index_path, **difference)
        )  # fmt: skip
    unnamed_clips = [record["clip"] for record in index["samples"] if not record["speaker"]]
    if split_by == "speaker" and unnamed_clips:
        hint = tr("put each speaker's clips into a folder of their own in data/videos")
        raise DatasetError(
            tr("training.split_by: speaker: {clip} is not in a speaker's folder; {hint}",
               clip=unnamed_clips[0], hint=hint)
        )  # fmt: skip
    # The same file under two names is one clip: a copy must not be tested on.
    group_key = {"clip": "video_sha256", "speaker": "speaker"}[split_by]
    samples = [
        Sample(
            record["id"],
            record["clip"],
            record["speaker"],
            str(record.get(group_key) or record["clip"]),
            index_path.parent / record["file"],
            record["n_frames"],
            float(record.get("offset_ms") or 0.0),
            bool(record.get("offset_known")),
            _fingerprint(record),
            int(record.get("first_frame") or 0),
            part_of_shard=part_of(place, index, record) if is_sharded else None,
        )
        for record in index["samples"]
        if include_unusable or record.get("offset_known", True)
    ]
    return [sample for sample in samples if include_unusable or sample.n_frames >= WINDOW_FRAMES]


def _fingerprint(record: dict) -> str:
    sources = [record.get(name, "") for name in ("video_sha256", "audio_sha256", "first_frame")]
    return sha256(repr(sources).encode()).hexdigest()[:16]
