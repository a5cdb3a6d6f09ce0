"""samples -> batches of pieces, and what the network takes of them."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from ..dataset.samples import Sample, SampleData
from ..models.normalization import (
    bands_of,
    brightness,
    central_view,
    normalise_bands,
    normalise_views,
    speech_steps,
)
from ..models.spec import ModelSize
from .augmentation import Augmentation

MIN_CANDIDATES = 8  # a choice among fewer windows says nothing


@dataclass
class Batch:
    """Pieces of clips as they come from disk, padded to one length.

    Attributes:
        crops: uint8 [B, T, S, S].
        mfcc: float32 [B, 4 T, n_mfcc].
        speech: bool [B, T].
        valid: bool [B, T], False in the padding.
        origin: int [B], number of the sample a piece is of.
    """

    crops: torch.Tensor
    mfcc: torch.Tensor
    speech: torch.Tensor
    valid: torch.Tensor
    origin: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class SegmentSampler:
    """Pieces of ``length`` frames of a set of samples, in batches.

    A sample gives about as many pieces an epoch as it is long: one for each ``length`` frames.
    Where speakers are balanced, those with little give more and those with much give less: a
    speaker with f times the frames of another gives f^(1 − balance) times the pieces.

    Args:
        balance: 0 … 1, for ``shuffled`` only.
    """

    def __init__(
        self, samples: list[Sample], length: int, batch_size: int, seed: int = 0, balance: float = 0
    ):
        self.samples, self._length = samples, length
        self._batch_size, self._seed = batch_size, seed
        self._number = {sample.id: number for number, sample in enumerate(samples)}
        self._shares = self._balanced(balance)

    def _balanced(self, balance: float) -> list[float]:
        """Pieces an epoch of each sample, in the mean."""
        speakers = [sample.person for sample in self.samples]
        frames = Counter()
        for speaker, sample in zip(speakers, self.samples, strict=True):
            frames[speaker] += sample.n_frames
        pieces = [self._pieces(sample) for sample in self.samples]
        wanted = [
            count * frames[speaker] ** -balance
            for count, speaker in zip(pieces, speakers, strict=True)
        ]
        return [share * sum(pieces) / sum(wanted) for share in wanted]

    def _pieces(self, sample: Sample) -> int:
        """Of a sample, without balance: one for each ``length`` frames."""
        return max(1, round(sample.n_frames / self._length))

    def __len__(self) -> int:
        """Number of batches."""
        return -(-round(sum(self._shares)) // self._batch_size)

    def shuffled(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """One epoch of training: random order, random places; the same for the same epoch.

        Args:
            skip: batches left out at its beginning.
        """
        dice = random.Random(f"{self._seed}/{epoch}")
        # Shares that are no whole numbers are rounded so that the sum stays (systematic sampling).
        jobs, edge, total = [], dice.random(), 0.0
        for sample, share in zip(self.samples, self._shares, strict=True):
            total += share
            while total > edge:
                jobs.append((sample, dice.randint(0, max(0, sample.n_frames - self._length))))
                edge += 1
        dice.shuffle(jobs)
        yield from self._batches(jobs[skip * self._batch_size : len(self) * self._batch_size])

    def in_order(self) -> Iterator[Batch]:
        """Evenly spread pieces, always the same."""
        places = []
        for sample in self.samples:
            room = max(0, sample.n_frames - self._length)
            pieces = self._pieces(sample)
            places += [
                (sample, round(room * piece / max(1, pieces - 1))) for piece in range(pieces)
            ]
        yield from self._batches(places)

    def _batches(self, places: list[tuple[Sample, int]]) -> Iterator[Batch]:
        for first in range(0, len(places), self._batch_size):
            chosen = places[first : first + self._batch_size]
            pieces = [
                sample.read(start, min(self._length, sample.n_frames)) for sample, start in chosen
            ]
            yield collate(pieces, [self._number[sample.id] for sample, _ in chosen])


def collate(pieces: list[SampleData], origin: list[int]) -> Batch:
    """Put pieces side by side; shorter ones are padded with their last frame."""
    longest = max(max(len(piece.crop) for piece in pieces), WINDOW_FRAMES)
    valid = np.zeros((len(pieces), longest), bool)
    crops, mfcc, speech = [], [], []
    for row, piece in enumerate(pieces):
        frames = len(piece.crop)
        valid[row, :frames] = True
        padding = np.minimum(np.arange(longest), frames - 1)
        crops.append(piece.crop[padding])
        speech.append(piece.speech[padding])
        steps = piece.mfcc.reshape(frames, -1)
        mfcc.append(steps[padding].reshape(longest * HOPS_PER_FRAME, -1))
    return Batch(
        torch.from_numpy(np.stack(crops)),
        torch.from_numpy(np.stack(mfcc)),
        torch.from_numpy(np.stack(speech) & valid),
        torch.from_numpy(valid),
        torch.tensor(origin),
    )


def network_input(
    batch: Batch, size: ModelSize, augmentation: Augmentation | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the encoders take: views [B, T, height, width] and bands [B, 4 T, 40], normalised."""
    bands = bands_of(batch.mfcc)
    if augmentation is None:
        views = central_view(batch.crops, size).float() / 255
    else:
        views = augmentation.views(batch.crops)
        bands = augmentation.bands(bands)
    counted = speech_steps(batch.speech)
    views = normalise_views(views, *brightness(views, batch.valid))
    return views, normalise_bands(bands, counted)


def windows_of(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Which windows ask and which exist, bool [B, T − 4] each.

    Those with speech at their middle frame ask, where there are enough candidates to choose from.
    """
    edge = WINDOW_FRAMES // 2
    exist = batch.valid[:, WINDOW_FRAMES - 1 :]
    enough = exist.sum(1, keepdim=True) >= MIN_CANDIDATES
    return batch.speech[:, edge:-edge] & exist & enough, exist
