"""Batches of segments of samples, and the network's input made from them."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from ..dataset.samples import Sample, SampleData
from ..models.normalization import (
    crop_face_region,
    measure_bands,
    measure_regions,
    mfcc_to_bands,
    normalise_bands,
    normalise_regions,
    speech_by_hop,
)
from ..models.spec import ModelSpec
from .augmentation import Augmentation
from .loader import read_ahead
from .team import ALONE, Team

MIN_CANDIDATES = 8  # a choice among fewer windows is too easy to teach anything


@dataclass
class Batch:
    """Segments of samples as they are read from the disk, padded to one length.

    Attributes:
        crops: uint8 [B, T, S, S].
        mfcc: float32 [B, 4 T, n_mfcc].
        speech: bool [B, T].
        valid: bool [B, T], False in the padding.
        sample_ids: int [B], the number of the sample that each segment comes from.
        n_copies: how many processes of a team have the same segments.
    """

    crops: torch.Tensor
    mfcc: torch.Tensor
    speech: torch.Tensor
    valid: torch.Tensor
    sample_ids: torch.Tensor
    n_copies: int = 1

    def to(self, device: torch.device) -> "Batch":
        return self._map(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))

    def pin_memory(self) -> "Batch":
        """The same in memory from which a GPU copies faster."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        tensors = (self.crops, self.mfcc, self.speech, self.valid, self.sample_ids)
        return Batch(*map(change, tensors), self.n_copies)


class SegmentSampler:
    """Segments of ``length`` frames of a set of samples, in batches.

    A sample gives about one segment an epoch for each ``length`` frames it has. Balancing gives
    speakers with little footage more segments and those with much fewer: a speaker with f times
    the frames of another gets f^(1 − balance) times the segments.

    Args:
        length: frames of a segment; shorter samples give all they have.
        balance: 0…1, for ``iter_random`` only.
        team: of several processes, each gets its share.
        loader_workers: processes that read ahead; 0: none.
        is_pinned: of ``read_ahead``.
    """

    def __init__(
        self, samples: list[Sample], length: int, batch_size: int, seed: int = 0,
        balance: float = 0, team: Team = ALONE, loader_workers: int = 0, is_pinned: bool = False,
    ):  # fmt: skip
        self.samples, self._length, self._team = samples, length, team
        self._loader_workers, self._is_pinned = loader_workers, is_pinned
        self._batch_size, self._seed = batch_size, seed
        self._number_by_id = {sample.id: number for number, sample in enumerate(samples)}
        self._segments_per_epoch = self._balance_speakers(balance)

    def _balance_speakers(self, balance: float) -> list[float]:
        """The mean number of segments of each sample in an epoch; the sum does not change."""
        speakers = [sample.speaker_id for sample in self.samples]
        frames_by_speaker = Counter()
        for speaker, sample in zip(speakers, self.samples, strict=True):
            frames_by_speaker[speaker] += sample.n_frames
        counts = [self._count_segments(sample) for sample in self.samples]
        weighted = [
            count * frames_by_speaker[speaker] ** -balance
            for count, speaker in zip(counts, speakers, strict=True)
        ]
        return [weight * sum(counts) / sum(weighted) for weight in weighted]

    def _count_segments(self, sample: Sample) -> int:
        """The segments of a sample without balancing: one for each ``length`` frames."""
        return max(1, round(sample.n_frames / self._length))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-round(sum(self._segments_per_epoch)) // self._batch_size)

    def iter_random(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one training epoch: in random order, from random positions.

        The same epoch always gives the same batches. Each process of a team gets a part of each.

        Args:
            skip: number of batches to skip at the beginning.
        """
        rng = random.Random(f"{self._seed}/{epoch}")
        # Fractional numbers of segments are rounded so that their sum stays (systematic sampling).
        segments, threshold, total = [], rng.random(), 0.0
        for sample, mean_count in zip(self.samples, self._segments_per_epoch, strict=True):
            total += mean_count
            while total > threshold:
                start = rng.randint(0, max(0, sample.n_frames - self._length))
                segments.append((sample, start))
                threshold += 1
        rng.shuffle(segments)
        yield from self._read(segments[skip * self._batch_size : len(self) * self._batch_size])

    def iter_evenly(self, is_shared: bool = True) -> Iterator[Batch]:
        """Batches of evenly spaced segments of each sample in turn, always the same. Each process
        of a team gets some of the batches, if any; all of them where they are not shared."""
        segments = []
        for sample in self.samples:
            last_start = max(0, sample.n_frames - self._length)
            count = self._count_segments(sample)
            segments += [
                (sample, round(last_start * number / max(1, count - 1))) for number in range(count)
            ]
        yield from self._read(segments, is_random=False, is_shared=is_shared)

    def _read(
        self, segments: list[tuple[Sample, int]], is_random: bool = True, is_shared: bool = True
    ) -> Iterator[Batch]:
        """The batches of (sample, first frame) pairs, or this process's share of them."""
        starts = range(0, len(segments), self._batch_size)
        plan = [segments[first : first + self._batch_size] for first in starts]
        if is_shared and not is_random:  # whole batches: each is measured by itself
            plan = plan[self._team.share_of(len(plan))]
        read = partial(_read_batch, self._length, self._number_by_id, self._team, is_random)
        return read_ahead(read, plan, self._loader_workers, self._is_pinned)


def _read_batch(
    length: int, number_by_id: dict[str, int], team: Team, is_shared: bool,
    segments: list[tuple[Sample, int]],
) -> Batch:  # fmt: skip
    """A batch of (sample, first frame) pairs.

    Args:
        is_shared: each process of the team gets a part; all get all of it where there are fewer
            segments than processes.
    """
    lengths = [min(length, sample.n_frames) for sample, _ in segments]
    own, n_copies = slice(None), 1
    if is_shared and len(segments) >= team.size:
        own = team.share_of(len(segments))
    elif is_shared:
        n_copies = team.size
    data = [
        sample.read(start, n_frames)
        for (sample, start), n_frames in zip(segments[own], lengths[own], strict=True)
    ]
    batch = collate(data, [number_by_id[sample.id] for sample, _ in segments[own]], max(lengths))
    batch.n_copies = n_copies
    return batch


def collate(segments: list[SampleData], sample_ids: list[int], longest: int = 0) -> Batch:
    """Stack segments into a batch; shorter ones are padded with their last frame, to ``longest``
    frames at least."""
    longest = max(longest, *(len(segment.crop) for segment in segments), WINDOW_FRAMES)
    valid = np.zeros((len(segments), longest), bool)
    crops, mfcc, speech = [], [], []
    for row, segment in enumerate(segments):
        n_frames = len(segment.crop)
        valid[row, :n_frames] = True
        indices = np.minimum(np.arange(longest), n_frames - 1)
        crops.append(segment.crop[indices])
        speech.append(segment.speech[indices])
        hops_by_frame = segment.mfcc.reshape(n_frames, -1)
        mfcc.append(hops_by_frame[indices].reshape(longest * HOPS_PER_FRAME, -1))
    return Batch(
        torch.from_numpy(np.stack(crops)),
        torch.from_numpy(np.stack(mfcc)),
        torch.from_numpy(np.stack(speech) & valid),
        torch.from_numpy(valid),
        torch.tensor(sample_ids),
    )


def prepare_input(
    batch: Batch, spec: ModelSpec, augmentation: Augmentation | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoders' input: face regions [B, T, height, width] and bands [B, 4 T, 40], normalised.

    Args:
        augmentation: None: the central face region and the audio as they are.
    """
    bands = mfcc_to_bands(batch.mfcc)
    if augmentation is None:
        views = crop_face_region(batch.crops, spec).float() / 255
    else:
        views = augmentation.augment_views(batch.crops)
        bands = augmentation.augment_bands(bands)
    views = normalise_regions(views, *measure_regions(views, batch.valid))
    return views, normalise_bands(bands, *measure_bands(bands, speech_by_hop(batch.speech)))


def window_masks(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The anchor and the candidate windows of a batch, bool [B, T − 4] each.

    Candidates are all windows without padding. Anchors are those of them with speech at their
    middle frame, in segments with enough candidates (``MIN_CANDIDATES``) to choose from.
    """
    edge = WINDOW_FRAMES // 2
    candidates = batch.valid[:, WINDOW_FRAMES - 1 :]
    has_enough = candidates.sum(1, keepdim=True) >= MIN_CANDIDATES
    return batch.speech[:, edge:-edge] & candidates & has_enough, candidates
