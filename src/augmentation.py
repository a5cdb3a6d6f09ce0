"""Random changes of picture and sound that leave the sync as it is."""

import torch
import torch.nn.functional as F

from src.audio_features import N_MELS
from src.model import VIEW_TOP, ModelSize


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
