"""index -> training pieces: the split, the batches and the augmentation."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from src.audio_features import N_MELS
from src.clip_features import WINDOW_FRAMES
from src.config import DataConfig, TrainingConfig
from src.errors import DatasetError
from src.messages import tr
from src.model import (
    VIEW_TOP,
    ModelSize,
    bands_of,
    brightness,
    central_view,
    normalise_bands,
    normalise_views,
    speech_steps,
)
from src.sample_file import read_sample
from src.sample_index import read_index, sample_settings

MIN_CANDIDATES = 8  # a choice among fewer windows says nothing


@dataclass(frozen=True)
class Sample:
    """One followed face of one clip.

    Attributes:
        id: distinct in the index.
        clip: the source clip.
        group: what must not be torn apart by a split.
        path: the file of records.
        n_frames: its length.
    """

    id: str
    clip: str
    group: str
    path: Path
    n_frames: int


@dataclass
class Batch:
    """Pieces of clips as they come from disk, padded to one length.

    Attributes:
        crops: uint8 [B, T, S, S].
        mfcc: float32 [B, 4 T, n_mfcc].
        speech: bool [B, T].
        valid: bool [B, T], False in the padding.
    """

    crops: torch.Tensor
    mfcc: torch.Tensor
    speech: torch.Tensor
    valid: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def load_samples(
    index_path: Path, settings: DataConfig, split_by: str = "clip"
) -> list[Sample]:  # fmt: skip
    """The samples of an index.

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
    return [
        Sample(
            record["id"],
            record["clip"],
            str(record.get(key) or record["clip"]),
            index_path.parent / record["file"],
            record["n_frames"],
        )
        for record in index["samples"]
    ]


def split_samples(
    samples: list[Sample], settings: TrainingConfig
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Train, validation and test samples; a clip (or speaker) is in one of them only.

    Raises:
        DatasetError: fewer than 3 clips (or speakers).
    """
    groups = sorted({sample.group for sample in samples})
    if len(groups) < 3:
        what = "speakers" if settings.split_by == "speaker" else "clips"
        hint = (
            "put each speaker's clips into a folder of data/videos"
            if settings.split_by == "speaker"
            else "add clips to data/videos and run python src/data_processing.py"
        )
        raise DatasetError(
            tr("{n} usable {what}: at least 3 are needed to train, validate and test; {hint}",
               n=len(groups), what=tr(what), hint=tr(hint))
        )  # fmt: skip
    random.Random(settings.seed).shuffle(groups)
    n_val = max(1, int(len(groups) * settings.val_split + 1e-9))
    n_train = min(max(1, int(len(groups) * settings.train_split + 1e-9)), len(groups) - n_val - 1)
    part = dict.fromkeys(groups[:n_train], 0) | dict.fromkeys(groups[n_train : n_train + n_val], 1)
    parts = ([], [], [])
    for sample in samples:
        parts[part.get(sample.group, 2)].append(sample)
    return parts


class Pieces:
    """Pieces of ``length`` frames of a set of samples, in batches.

    A sample gives about as many pieces an epoch as it is long: one for each ``length`` frames.
    """

    def __init__(self, samples: list[Sample], length: int, batch_size: int, seed: int = 0):
        self._samples, self._length = samples, length
        self._batch_size, self._seed = batch_size, seed

    def _jobs(self) -> list[tuple[Sample, int, int]]:
        """(sample, number of the piece, number of pieces)."""
        jobs = []
        for sample in self._samples:
            pieces = max(1, round(sample.n_frames / self._length))
            jobs += [(sample, piece, pieces) for piece in range(pieces)]
        return jobs

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self._jobs()) // self._batch_size)

    def shuffled(self, epoch: int) -> Iterator[Batch]:
        """One epoch of training: random order, random places; the same for the same epoch."""
        dice = random.Random(f"{self._seed}/{epoch}")
        jobs = self._jobs()
        dice.shuffle(jobs)
        places = [
            (sample, dice.randint(0, max(0, sample.n_frames - self._length)))
            for sample, _, _ in jobs
        ]
        yield from self._batches(places)

    def in_order(self) -> Iterator[Batch]:
        """Evenly spread pieces, always the same."""
        places = []
        for sample, piece, pieces in self._jobs():
            room = max(0, sample.n_frames - self._length)
            places.append((sample, round(room * piece / max(1, pieces - 1))))
        yield from self._batches(places)

    def _batches(self, places: list[tuple[Sample, int]]) -> Iterator[Batch]:
        for first in range(0, len(places), self._batch_size):
            yield collate(
                [
                    read_sample(sample.path)[start : start + self._length]
                    for sample, start in places[first : first + self._batch_size]
                ]
            )


def collate(pieces: list[np.ndarray]) -> Batch:
    """Put records side by side; shorter ones are padded with their last frame."""
    longest = max(max(len(piece) for piece in pieces), WINDOW_FRAMES)
    fields = {"crop": [], "mfcc": [], "speech": []}
    valid = np.zeros((len(pieces), longest), bool)
    for row, piece in enumerate(pieces):
        valid[row, : len(piece)] = True
        for name, column in fields.items():
            values = piece[name]
            padding = np.repeat(values[-1:], longest - len(piece), axis=0)
            column.append(np.concatenate([values, padding]))
    mfcc = np.stack(fields["mfcc"])
    return Batch(
        torch.from_numpy(np.stack(fields["crop"])),
        torch.from_numpy(mfcc.reshape(len(pieces), -1, mfcc.shape[-1])),
        torch.from_numpy(np.stack(fields["speech"]) & valid),
        torch.from_numpy(valid),
    )


def network_input(
    batch: Batch, size: ModelSize, augmentation: "Augmentation | None" = None
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


class Augmentation:
    """Random changes that leave the sync as it is; one draw a clip, the same for all its frames.

    Picture: rotation, scale, shift, flip, gamma, blur, noise, a cut-out. Sound: spectral tilt,
    gain of single bands, a noise floor, masks over bands and time (SpecAugment, Park et al. 2019).
    """

    ROTATION_DEG = 8.0
    SCALE = 0.12
    SHIFT = 0.05  # of the crop's side
    GAMMA = 0.35
    NOISE = 0.03
    TILT_DB = 6.0
    BAND_DB = 2.0
    MASK_BANDS = 8
    MASK_STEPS = 12

    def __init__(self, size: ModelSize, generator: torch.Generator):
        self._size, self._generator = size, generator

    def _uniform(self, *shape: int) -> torch.Tensor:
        """−1…1."""
        return torch.rand(*shape, generator=self._generator) * 2 - 1

    def _chance(self, batch: int, share: float) -> torch.Tensor:
        return torch.rand(batch, generator=self._generator) < share

    def _noise_like(self, x: torch.Tensor) -> torch.Tensor:
        # Drawn where the data is; the seed comes from the generator of the run.
        seed = int(torch.randint(2**31, (1,), generator=self._generator))
        local = torch.Generator(x.device).manual_seed(seed)
        return torch.randn(x.shape, generator=local, device=x.device)

    def views(self, crops: torch.Tensor) -> torch.Tensor:
        """uint8 [B, T, S, S] -> float [B, T, height, width], 0…1."""
        from torchvision.transforms.v2 import functional as V

        batch, device = len(crops), crops.device
        height, width = self._size.view
        side = self._size.input_size
        angle = torch.deg2rad(self._uniform(batch) * self.ROTATION_DEG)
        scale = 1 + self._uniform(batch) * self.SCALE
        flip = torch.where(self._chance(batch, 0.5), -1.0, 1.0)
        # affine_grid: view coordinates −1…1 -> crop coordinates −1…1
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        middle = (round(side * VIEW_TOP) + height / 2) / side * 2 - 1
        theta = torch.zeros(batch, 2, 3)
        theta[:, 0, 0], theta[:, 0, 1] = cos * flip * width / side, -sin * height / side
        theta[:, 1, 0], theta[:, 1, 1] = sin * flip * width / side, cos * height / side
        theta[:, :, 2] = self._uniform(batch, 2) * self.SHIFT * 2
        theta[:, 1, 2] += middle
        grid = F.affine_grid(theta.to(device), (batch, 1, height, width), align_corners=False)
        views = F.grid_sample(
            crops.float() / 255, grid, padding_mode="border", align_corners=False
        ).clamp(0, 1)
        gamma = (1 + self._uniform(batch) * self.GAMMA).to(device)
        views = views.pow(gamma[:, None, None, None])
        for row in torch.nonzero(self._chance(batch, 0.3)).flatten().tolist():
            sigma = 0.4 + 0.8 * float(torch.rand(1, generator=self._generator))
            views[row] = V.gaussian_blur(views[row], [5, 5], [sigma])
        for row in torch.nonzero(self._chance(batch, 0.3)).flatten().tolist():
            # A hand, a microphone or a caption: a grey patch of up to a third of the view.
            high, wide = (
                int(side / 6 * (1 + float(self._uniform(1)))) + 4 for side in (height, width)
            )
            top, left = (
                int(torch.randint(room, (1,), generator=self._generator))
                for room in (height - high, width - wide)
            )
            views[row] = V.erase(
                views[row], top, left, high, wide, torch.tensor(0.5, device=device)
            )
        strength = (self._uniform(batch).abs() * self.NOISE).to(device)
        return views + self._noise_like(views) * strength[:, None, None, None]

    def bands(self, bands: torch.Tensor) -> torch.Tensor:
        """float [B, S, 40], dB -> the same shape."""
        batch, steps, _ = bands.shape
        device = bands.device
        ramp = torch.linspace(-1, 1, N_MELS)
        tilt = self._uniform(batch, 1) * self.TILT_DB * ramp
        tilt = tilt + self._uniform(batch, N_MELS) * self.BAND_DB
        bands = bands + tilt[:, None].to(device)
        # A steady noise floor 5 to 45 dB under the clip's own level, in most clips.
        level = bands.mean((1, 2)) + bands.std((1, 2))
        floor = level - (5 + 40 * torch.rand(batch, generator=self._generator)).to(device)
        floor = floor[:, None, None] + 3 * self._noise_like(bands)
        noisy = 10 * torch.log10(10 ** (bands / 10) + 10 ** (floor / 10))
        bands = torch.where(self._chance(batch, 0.7).to(device)[:, None, None], noisy, bands)
        quiet = bands.mean(1, keepdim=True)
        keep = torch.ones(batch, steps, N_MELS, dtype=torch.bool)
        for row in range(batch):
            wide, first = self._span(self.MASK_BANDS, N_MELS)
            keep[row, :, first : first + wide] = False
            for _ in range(max(1, steps // 100)):
                long, start = self._span(self.MASK_STEPS, steps)
                keep[row, start : start + long] = False
        return torch.where(keep.to(device), bands, quiet)

    def _span(self, longest: int, room: int) -> tuple[int, int]:
        length = int(torch.randint(longest + 1, (1,), generator=self._generator))
        return length, int(torch.randint(room - length + 1, (1,), generator=self._generator))
