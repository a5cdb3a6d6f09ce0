"""Random changes of picture and sound that leave the sync as it is."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..audio.features import band_centres_hz
from ..core.constants import HOP_MS, N_MELS
from ..models.spec import ModelSize


class Augmentation:
    """Random changes that leave the sync as it is; one draw a clip, the same for all its frames.

    Picture: ``place`` (rotation, scale, shift), ``stretch`` (wider or narrower faces), ``warp``
    (faces of other shapes: the picture bent smoothly), ``flip``, ``gamma``, ``shade`` (light from
    somewhere else), ``blur``, ``coarse`` (as of a face of few pixels), ``patch`` (a hand or a
    microphone), ``grain``. Sound: ``voice`` (of a longer or shorter throat: frequencies times a
    factor, VTLP, Jaitly & Hinton 2013), ``tilt`` of the spectrum and gain of single bands,
    ``hiss`` (steady noise), ``babble`` (another clip under it), ``reverb`` (a decay after every
    sound), ``masks`` over bands and time (SpecAugment, Park et al. 2019).

    Args:
        size: what the views are made for.
        generator: all is drawn from it.
        without: kinds that are left out (``config.Change``).
    """

    ROTATION_DEG = 8.0
    SCALE = 0.12
    STRETCH = 0.12
    SHIFT = 0.05  # of the crop's side
    WARP, WARP_KNOTS = 0.04, (3, 4)  # of the crop's side, at points this many down and across
    GAMMA = 0.35
    SHADE, SHADE_KNOTS = 0.4, (2, 3)  # of the brightness
    NOISE = 0.03
    COARSEST = 3.0  # pixels of the view to one of the face as it was filmed
    VOICE = 0.12
    TILT_DB = 6.0
    BAND_DB = 2.0
    BABBLE_DB = (3.0, 25.0)  # under the clip
    DECAY_MS = (150.0, 700.0)  # in which a sound falls by 60 dB
    WET = 0.5  # power of the decay to that of the sound, at most
    MASK_BANDS = 8
    MASK_STEPS = 12

    def __init__(self, size: ModelSize, generator: torch.Generator, without: Sequence[str] = ()):
        self._size, self._generator, self._without = size, generator, without

    def _uniform(self, *shape: int) -> torch.Tensor:
        """−1…1."""
        return torch.rand(*shape, generator=self._generator) * 2 - 1

    def _between(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self._generator)

    def _chance(self, batch: int, share: float, kind: str) -> torch.Tensor:
        """Which clips are changed so, bool [batch]."""
        drawn = torch.rand(batch, generator=self._generator) < share
        return drawn & (kind not in self._without)

    def _some(self, batch: int, share: float, kind: str) -> list[int]:
        return torch.nonzero(self._chance(batch, share, kind)).flatten().tolist()

    def _noise_like(self, x: torch.Tensor) -> torch.Tensor:
        # Drawn where the data is; the seed comes from the generator of the run.
        seed = int(torch.randint(2**31, (1,), generator=self._generator))
        local = torch.Generator(x.device).manual_seed(seed)
        return torch.randn(x.shape, generator=local, device=x.device)

    def views(self, crops: torch.Tensor) -> torch.Tensor:
        """uint8 [B, T, S, S] -> float [B, T, height, width], 0…1."""
        from torchvision.transforms.v2 import functional as V

        batch, device = len(crops), crops.device
        views = F.grid_sample(
            crops.float() / 255, self._grid(batch).to(device), padding_mode="border",
            align_corners=False,
        ).clamp(0, 1)  # fmt: skip
        if "gamma" not in self._without:
            gamma = (1 + self._uniform(batch) * self.GAMMA).to(device)
            views = views.pow(gamma[:, None, None, None])
        if "shade" not in self._without:
            light = 1 + self._smooth(batch, 1, self.SHADE_KNOTS, self.SHADE)
            views = (views * light.to(device)).clamp(0, 1)
        for row in self._some(batch, 0.3, "blur"):
            sigma = 0.4 + 0.8 * float(torch.rand(1, generator=self._generator))
            views[row] = V.gaussian_blur(views[row], [5, 5], [sigma])
        for row in self._some(batch, 0.3, "coarse"):
            views[row] = self._coarse(views[row])
        for row in self._some(batch, 0.3, "patch"):
            top, left, high, wide = self._patch()
            views[row] = V.erase(
                views[row], top, left, high, wide, torch.tensor(0.5, device=device)
            )
        if "grain" in self._without:
            return views
        strength = (self._uniform(batch).abs() * self.NOISE).to(device)
        return views + self._noise_like(views) * strength[:, None, None, None]

    def _grid(self, batch: int) -> torch.Tensor:
        """Where each pixel of the views comes from: float [B, height, width, 2], −1…1."""
        height, width = self._size.view
        side = self._size.input_size
        still = 0.0 if "place" in self._without else 1.0
        angle = torch.deg2rad(self._uniform(batch) * self.ROTATION_DEG) * still
        scale = 1 + self._uniform(batch) * self.SCALE * still
        stretched = 0.0 if "stretch" in self._without else 1.0
        wider = 1 + self._uniform(batch) * self.STRETCH * stretched
        flip = torch.where(self._chance(batch, 0.5, "flip"), -1.0, 1.0)
        # affine_grid: view coordinates −1…1 -> crop coordinates −1…1
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        middle = (self._size.view_top + height / 2) / side * 2 - 1
        theta = torch.zeros(batch, 2, 3)
        across, down = flip / wider * width / side, height / side
        theta[:, 0, 0], theta[:, 0, 1] = cos * across, -sin * down
        theta[:, 1, 0], theta[:, 1, 1] = sin * across, cos * down
        theta[:, :, 2] = self._uniform(batch, 2) * self.SHIFT * 2 * still
        theta[:, 1, 2] += middle
        grid = F.affine_grid(theta, (batch, 1, height, width), align_corners=False)
        if "warp" not in self._without:
            bent = self._smooth(batch, 2, self.WARP_KNOTS, self.WARP * 2)
            grid = grid + bent.permute(0, 2, 3, 1)
        return grid

    def _smooth(self, batch: int, channels: int, knots: tuple[int, int], most: float):
        """A random field over the view: float [batch, channels, height, width], −most…most at a
        few knots and smooth between them."""
        drawn = self._uniform(batch, channels, *knots) * most
        return F.interpolate(drawn, self._size.view, mode="bicubic", align_corners=True)

    def _coarse(self, view: torch.Tensor) -> torch.Tensor:
        """float [T, height, width] as if it had been filmed with fewer pixels."""
        height, width = view.shape[1:]
        factor = float(self._between(1.3, self.COARSEST, 1))
        few = F.interpolate(
            view[None], (round(height / factor), round(width / factor)), mode="area"
        )
        return F.interpolate(few, (height, width), mode="bilinear", align_corners=False)[0]

    def _patch(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of a grey patch of up to a third of the view."""
        sides = self._size.view
        high, wide = (int(side / 6 * (1 + float(self._uniform(1)))) + 4 for side in sides)
        top, left = (
            int(torch.randint(room, (1,), generator=self._generator))
            for room in (sides[0] - high, sides[1] - wide)
        )
        return top, left, high, wide

    def bands(self, bands: torch.Tensor) -> torch.Tensor:
        """float [B, S, 40], dB -> the same shape."""
        batch, steps, _ = bands.shape
        device = bands.device
        if "voice" not in self._without:
            bands = self._voice(bands)
        if "tilt" not in self._without:
            ramp = torch.linspace(-1, 1, N_MELS)
            tilt = self._uniform(batch, 1) * self.TILT_DB * ramp
            tilt = tilt + self._uniform(batch, N_MELS) * self.BAND_DB
            bands = bands + tilt[:, None].to(device)
        bands = self._babble(self._reverb(bands))
        # A steady noise floor 5 to 45 dB under the clip's own level, in most clips.
        level = bands.mean((1, 2)) + bands.std((1, 2))
        floor = level - self._between(5, 45, batch).to(device)
        floor = floor[:, None, None] + 3 * self._noise_like(bands)
        hissing = self._chance(batch, 0.7, "hiss").to(device)[:, None, None]
        bands = torch.where(hissing, _sum_db(bands, floor), bands)
        quiet = bands.mean(1, keepdim=True)
        keep = torch.ones(batch, steps, N_MELS, dtype=torch.bool)
        for row in range(batch) if "masks" not in self._without else ():
            wide, first = self._span(self.MASK_BANDS, N_MELS)
            keep[row, :, first : first + wide] = False
            for _ in range(max(1, steps // 100)):
                long, start = self._span(self.MASK_STEPS, steps)
                keep[row, start : start + long] = False
        return torch.where(keep.to(device), bands, quiet)

    def _voice(self, bands: torch.Tensor) -> torch.Tensor:
        """All tones by a factor lower or higher; the outermost bands are repeated where none is
        left (VTLP bends the scale there instead)."""
        batch, steps, _ = bands.shape
        centres = band_centres_hz()
        factors = (1 + self._uniform(batch, 1) * self.VOICE).numpy()
        place = np.interp(centres * factors, centres, np.arange(N_MELS))
        place = torch.from_numpy(place).to(bands)[:, None].expand(-1, steps, -1)
        below = place.floor().clamp(max=N_MELS - 2)
        part, below = place - below, below.long()
        return bands.gather(2, below).lerp(bands.gather(2, below + 1), part)

    def _reverb(self, bands: torch.Tensor) -> torch.Tensor:
        """Every sound goes on after its end, falling: the power of the room's echoes is added."""
        batch, steps, _ = bands.shape
        chosen = self._chance(batch, 0.3, "reverb")
        per_step = 10 ** (-6 * HOP_MS / self._between(*self.DECAY_MS, batch))  # −60 dB in all
        later = torch.arange(steps)
        decay = per_step[:, None] ** later * (later > 0)
        decay = decay / decay.sum(1, keepdim=True).clamp(min=1e-9)
        decay = decay * self._between(0.05, self.WET, batch, 1)
        echoes = _followed((10 ** (bands / 10)), decay.to(bands))
        wet = _sum_db(bands, 10 * torch.log10(echoes.clamp(min=1e-12)))
        return torch.where(chosen.to(bands.device)[:, None, None], wet, bands)

    def _babble(self, bands: torch.Tensor) -> torch.Tensor:
        """The next clip of the batch speaks, too, more quietly."""
        batch = len(bands)
        chosen = self._chance(batch, 0.3, "babble") & (batch > 1)
        other = bands.roll(1, 0)
        gap = bands.amax((1, 2)) - other.amax((1, 2))
        other = other + (gap - self._between(*self.BABBLE_DB, batch).to(gap))[:, None, None]
        return torch.where(chosen.to(bands.device)[:, None, None], _sum_db(bands, other), bands)

    def _span(self, longest: int, room: int) -> tuple[int, int]:
        length = int(torch.randint(longest + 1, (1,), generator=self._generator))
        return length, int(torch.randint(room - length + 1, (1,), generator=self._generator))


def _sum_db(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Two powers in dB together."""
    return 10 * torch.log10(10 ** (one / 10) + 10 ** (other / 10))


def _followed(power: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """Convolution over time, cut to its length: power [B, S, C] with decay [B, S]."""
    steps = power.shape[1]
    spectrum = torch.fft.rfft(power, 2 * steps, dim=1) * torch.fft.rfft(decay, 2 * steps)[..., None]
    return torch.fft.irfft(spectrum, 2 * steps, dim=1)[:, :steps]
