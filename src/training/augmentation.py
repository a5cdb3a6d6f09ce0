"""Data augmentation: random changes of video and audio that leave the offset unchanged."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..audio.features import band_centres_hz
from ..core.constants import FPS, HOP_MS, N_MELS
from ..models.spec import ModelSpec


class Augmentation:
    """Random changes that leave the offset unchanged, drawn once for all frames of a clip.

    Video: ``place`` (rotation, scale, shift), ``stretch`` (wider or narrower faces), ``warp``
    (a smooth distortion: faces of other shapes), ``flip``, ``gamma``, ``shade`` (uneven light),
    ``exposure`` (brightness that goes up and down, as where a camera's exposure hunts), ``blur``,
    ``coarse`` (low resolution), ``patch`` (an occlusion such as a hand or a microphone),
    ``grain`` (noise). Audio: ``voice`` (a longer or shorter vocal tract: frequencies times a
    factor, VTLP, Jaitly & Hinton 2013), ``tilt`` (of the spectrum, and gain of single bands),
    ``hiss`` (steady noise), ``babble`` (another clip as background speech), ``reverb`` (an
    exponential decay), ``masks`` over bands and time (SpecAugment, Park et al. 2019).

    Args:
        spec: of the model that is trained: the size of the face regions.
        generator: everything is drawn from it.
        without: kinds to omit (``config.Change``).
    """

    ROTATION_DEG = 8.0
    SCALE = 0.12
    STRETCH = 0.12
    SHIFT = 0.05  # of the crop's side
    WARP, WARP_KNOTS = 0.04, (3, 4)  # of the crop's side, at so many points down and across
    GAMMA = 0.35
    EXPOSURE, EXPOSURE_HZ = 0.45, (0.2, 2.0)  # of the brightness, up and down at these rates
    SHADE, SHADE_KNOTS = 0.4, (2, 3)  # of the brightness
    NOISE = 0.03
    MAX_COARSENESS = 3.0  # pixels of the face region for each pixel that is simulated
    VOICE = 0.12
    TILT_DB = 6.0
    BAND_DB = 2.0
    BABBLE_DB = (3.0, 25.0)  # below the clip
    DECAY_MS = (150.0, 700.0)  # reverberation time: until the level has fallen by 60 dB
    MAX_WET = 0.5  # power of the reverberation relative to the direct audio
    MASK_BANDS = 8
    MASK_HOPS = 12

    def __init__(self, spec: ModelSpec, generator: torch.Generator, without: Sequence[str] = ()):
        self._spec, self._generator, self._without = spec, generator, without

    # --- drawing

    def _draw_signed(self, *shape: int) -> torch.Tensor:
        """Uniform in −1…1."""
        return torch.rand(*shape, generator=self._generator) * 2 - 1

    def _draw_between(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self._generator)

    def _draw_clips(self, n_clips: int, probability: float, kind: str) -> torch.Tensor:
        """Which clips get this kind of change, bool [n_clips]."""
        drawn = torch.rand(n_clips, generator=self._generator) < probability
        return drawn & (kind not in self._without)

    def _draw_rows(self, n_clips: int, probability: float, kind: str) -> list[int]:
        """The same as row numbers."""
        return torch.nonzero(self._draw_clips(n_clips, probability, kind)).flatten().tolist()

    def _draw_span(self, max_length: int, total: int) -> tuple[int, int]:
        """Length and start of a span within ``total``."""
        length = int(torch.randint(max_length + 1, (1,), generator=self._generator))
        return length, int(torch.randint(total - length + 1, (1,), generator=self._generator))

    def _draw_noise_like(self, x: torch.Tensor) -> torch.Tensor:
        """Normal noise of the shape of ``x``."""
        # Drawn on the device of the data; the seed comes from the generator of the run.
        seed = int(torch.randint(2**31, (1,), generator=self._generator))
        local = torch.Generator(x.device).manual_seed(seed)
        return torch.randn(x.shape, generator=local, device=x.device)

    # --- video

    def augment_views(self, crops: torch.Tensor) -> torch.Tensor:
        """Crops, uint8 [B, T, S, S] -> face regions, float [B, T, height, width], about 0…1."""
        from torchvision.transforms.v2 import functional as V

        n_clips, device = len(crops), crops.device
        views = F.grid_sample(
            crops.float() / 255, self._sampling_grid(n_clips).to(device), padding_mode="border",
            align_corners=False,
        ).clamp(0, 1)  # fmt: skip
        if "gamma" not in self._without:
            gamma = (1 + self._draw_signed(n_clips) * self.GAMMA).to(device)
            views = views.pow(gamma[:, None, None, None])
        if "shade" not in self._without:
            light = 1 + self._smooth_field(n_clips, 1, self.SHADE_KNOTS, self.SHADE)
            views = (views * light.to(device)).clamp(0, 1)
        for row in self._draw_rows(n_clips, 0.3, "exposure"):
            gain = self._hunting_gain(views.shape[1]).to(device)
            views[row] = (views[row] * gain[:, None, None]).clamp(0, 1)
        for row in self._draw_rows(n_clips, 0.3, "blur"):
            sigma = 0.4 + 0.8 * float(torch.rand(1, generator=self._generator))
            views[row] = V.gaussian_blur(views[row], [5, 5], [sigma])
        for row in self._draw_rows(n_clips, 0.3, "coarse"):
            views[row] = self._reduce_resolution(views[row])
        for row in self._draw_rows(n_clips, 0.3, "patch"):
            top, left, height, width = self._draw_patch()
            views[row] = V.erase(
                views[row], top, left, height, width, torch.tensor(0.5, device=device)
            )
        if "grain" in self._without:
            return views
        strength = (self._draw_signed(n_clips).abs() * self.NOISE).to(device)
        return views + self._draw_noise_like(views) * strength[:, None, None, None]

    def _sampling_grid(self, n_clips: int) -> torch.Tensor:
        """The point of the crop that each pixel is sampled from: float [B, height, width, 2],
        −1…1."""
        height, width = self._spec.region_shape
        side = self._spec.input_size
        place_amount = 0.0 if "place" in self._without else 1.0
        angle = torch.deg2rad(self._draw_signed(n_clips) * self.ROTATION_DEG) * place_amount
        scale = 1 + self._draw_signed(n_clips) * self.SCALE * place_amount
        stretch_amount = 0.0 if "stretch" in self._without else 1.0
        stretch = 1 + self._draw_signed(n_clips) * self.STRETCH * stretch_amount
        flip = torch.where(self._draw_clips(n_clips, 0.5, "flip"), -1.0, 1.0)
        # affine_grid: face region coordinates −1…1 -> crop coordinates −1…1
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        centre_y = (self._spec.region_top + height / 2) / side * 2 - 1
        theta = torch.zeros(n_clips, 2, 3)
        across, down = flip / stretch * width / side, height / side
        theta[:, 0, 0], theta[:, 0, 1] = cos * across, -sin * down
        theta[:, 1, 0], theta[:, 1, 1] = sin * across, cos * down
        theta[:, :, 2] = self._draw_signed(n_clips, 2) * self.SHIFT * 2 * place_amount
        theta[:, 1, 2] += centre_y
        grid = F.affine_grid(theta, (n_clips, 1, height, width), align_corners=False)
        if "warp" not in self._without:
            displacement = self._smooth_field(n_clips, 2, self.WARP_KNOTS, self.WARP * 2)
            grid = grid + displacement.permute(0, 2, 3, 1)
        return grid

    def _smooth_field(
        self, n_clips: int, channels: int, knots: tuple[int, int], amplitude: float
    ) -> torch.Tensor:
        """A random field over the face region, float [B, channels, height, width]:
        −amplitude…amplitude at the knots, bicubic between them."""
        values = self._draw_signed(n_clips, channels, *knots) * amplitude
        return F.interpolate(values, self._spec.region_shape, mode="bicubic", align_corners=True)

    def _hunting_gain(self, n_frames: int) -> torch.Tensor:
        """Factors of the brightness of frames, float [T]."""
        depth, rate_hz, phase = (
            float(self._draw_between(low, high, 1))
            for low, high in ((0, self.EXPOSURE), self.EXPOSURE_HZ, (0, 2 * math.pi))
        )
        return 1 + depth * torch.sin(2 * math.pi * rate_hz / FPS * torch.arange(n_frames) + phase)

    def _reduce_resolution(self, view: torch.Tensor) -> torch.Tensor:
        """float [T, height, width] as if recorded with fewer pixels."""
        height, width = view.shape[1:]
        factor = float(self._draw_between(1.3, self.MAX_COARSENESS, 1))
        small = F.interpolate(
            view[None], (round(height / factor), round(width / factor)), mode="area"
        )
        return F.interpolate(small, (height, width), mode="bilinear", align_corners=False)[0]

    def _draw_patch(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of a grey patch of up to a third of the face region."""
        sides = self._spec.region_shape
        height, width = (int(side / 6 * (1 + float(self._draw_signed(1)))) + 4 for side in sides)
        top, left = (
            int(torch.randint(limit, (1,), generator=self._generator))
            for limit in (sides[0] - height, sides[1] - width)
        )
        return top, left, height, width

    # --- audio

    def augment_bands(self, bands: torch.Tensor) -> torch.Tensor:
        """Mel bands, float [B, S, 40], dB -> the same shape; S hops."""
        n_clips, n_hops, _ = bands.shape
        device = bands.device
        if "voice" not in self._without:
            bands = self._scale_frequencies(bands)
        if "tilt" not in self._without:
            ramp = torch.linspace(-1, 1, N_MELS)
            tilt = self._draw_signed(n_clips, 1) * self.TILT_DB * ramp
            tilt = tilt + self._draw_signed(n_clips, N_MELS) * self.BAND_DB
            bands = bands + tilt[:, None].to(device)
        bands = self._add_babble(self._add_reverb(bands))
        # A steady noise floor 5 to 45 dB below the clip's own level, in most clips.
        level = bands.mean((1, 2)) + bands.std((1, 2))
        floor = level - self._draw_between(5, 45, n_clips).to(device)
        floor = floor[:, None, None] + 3 * self._draw_noise_like(bands)
        has_hiss = self._draw_clips(n_clips, 0.7, "hiss").to(device)[:, None, None]
        bands = torch.where(has_hiss, _add_db(bands, floor), bands)
        mean = bands.mean(1, keepdim=True)
        visible = torch.ones(n_clips, n_hops, N_MELS, dtype=torch.bool)
        for row in range(n_clips) if "masks" not in self._without else ():
            n_bands, first = self._draw_span(self.MASK_BANDS, N_MELS)
            visible[row, :, first : first + n_bands] = False
            for _ in range(max(1, n_hops // 100)):
                length, start = self._draw_span(self.MASK_HOPS, n_hops)
                visible[row, start : start + length] = False
        return torch.where(visible.to(device), bands, mean)

    def _scale_frequencies(self, bands: torch.Tensor) -> torch.Tensor:
        """All frequencies times a factor. The outermost bands are repeated where none is left
        (VTLP bends the scale there instead)."""
        n_clips, n_hops, _ = bands.shape
        centres = band_centres_hz()
        factors = (1 + self._draw_signed(n_clips, 1) * self.VOICE).numpy()
        source_band = np.interp(centres * factors, centres, np.arange(N_MELS))
        source_band = torch.from_numpy(source_band).to(bands)[:, None].expand(-1, n_hops, -1)
        lower_band = source_band.floor().clamp(max=N_MELS - 2)
        fraction, lower_band = source_band - lower_band, lower_band.long()
        return bands.gather(2, lower_band).lerp(bands.gather(2, lower_band + 1), fraction)

    def _add_reverb(self, bands: torch.Tensor) -> torch.Tensor:
        """Adds the power of the room's echoes, which decays exponentially after all audio."""
        n_clips, n_hops, _ = bands.shape
        is_chosen = self._draw_clips(n_clips, 0.3, "reverb")
        per_hop = 10 ** (-6 * HOP_MS / self._draw_between(*self.DECAY_MS, n_clips))  # −60 dB in all
        lag = torch.arange(n_hops)
        decay = per_hop[:, None] ** lag * (lag > 0)
        decay = decay / decay.sum(1, keepdim=True).clamp(min=1e-9)
        decay = decay * self._draw_between(0.05, self.MAX_WET, n_clips, 1)
        echoes = _convolve_time((10 ** (bands / 10)), decay.to(bands))
        wet = _add_db(bands, 10 * torch.log10(echoes.clamp(min=1e-12)))
        return torch.where(is_chosen.to(bands.device)[:, None, None], wet, bands)

    def _add_babble(self, bands: torch.Tensor) -> torch.Tensor:
        """Adds the next clip of the batch as background speech."""
        n_clips = len(bands)
        is_chosen = self._draw_clips(n_clips, 0.3, "babble") & (n_clips > 1)
        background = bands.roll(1, 0)
        gap = bands.amax((1, 2)) - background.amax((1, 2))
        gain = gap - self._draw_between(*self.BABBLE_DB, n_clips).to(gap)
        mixed = _add_db(bands, background + gain[:, None, None])
        return torch.where(is_chosen.to(bands.device)[:, None, None], mixed, bands)


def _add_db(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The sum of two powers in dB, in dB."""
    return 10 * torch.log10(10 ** (first / 10) + 10 ** (second / 10))


def _convolve_time(power: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """Causal convolution over time: power [B, S, C] with decay [B, S] -> [B, S, C]."""
    n_hops = power.shape[1]
    spectrum = torch.fft.rfft(power, 2 * n_hops, dim=1)
    spectrum = spectrum * torch.fft.rfft(decay, 2 * n_hops)[..., None]
    return torch.fft.irfft(spectrum, 2 * n_hops, dim=1)[:, :n_hops]
