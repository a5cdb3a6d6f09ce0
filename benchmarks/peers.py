"""Our time to score a clip beside that of SyncNet's pipeline as published, in one run.

SyncNet (Chung & Zisserman 2016) as its authors run it: the S3FD face detector (Zhang et al. 2017)
in every frame at full resolution, a face crop of 224 × 224, and the two-stream network on every
window of 5 frames and of 20 hops of 13 MFCC, each compared at all 31 offsets. Both networks are
built here from the papers with random weights: for the time only, so the crop is a square of the
frame. What takes the same time for every frame is measured on ``--frames`` frames and scaled to the
clip.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.preprocessing import make_test_clip
from src.core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from src.core.constants import FPS, HOPS_PER_FRAME, WINDOW_FRAMES
from src.core.workers import cores
from src.i18n.messages import tr
from src.media.reader import read_audio, read_frames
from src.pipeline.engine import LipSyncInference

CROP_SIZE = 224  # px
N_MFCC = 13
REACH = 15  # frames: offsets from −15 to 15 are compared
WINDOW_HOPS = WINDOW_FRAMES * HOPS_PER_FRAME
BATCH = 20  # windows, as published


# ---------------------------------------------------------------------------- networks


def _vgg(inputs: int, *widths: int) -> nn.Sequential:
    """Convolutions of 3 × 3, each with ReLU."""
    layers = []
    for width in widths:
        layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(*layers)


class S3FD(nn.Module):
    """The layers of S3FD: VGG-16, two blocks more, and a detection head on each of six grids.

    Args:
        width: multiplies all numbers of channels; 1: as published.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        c1, c2, c3, c4, c5, c6 = (max(4, int(n * width)) for n in (64, 128, 256, 512, 1024, 256))
        self.blocks = nn.ModuleList([
            nn.Sequential(
                _vgg(3, c1, c1), nn.MaxPool2d(2, 2), _vgg(c1, c2, c2), nn.MaxPool2d(2, 2),
                _vgg(c2, c3, c3, c3),
            ),
            nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), _vgg(c3, c4, c4, c4)),
            nn.Sequential(nn.MaxPool2d(2, 2), _vgg(c4, c4, c4, c4)),
            nn.Sequential(
                nn.MaxPool2d(2, 2), nn.Conv2d(c4, c5, 3, 1, 3), nn.ReLU(inplace=True),
                nn.Conv2d(c5, c5, 1), nn.ReLU(inplace=True),
            ),
            nn.Sequential(
                nn.Conv2d(c5, c6, 1), nn.ReLU(inplace=True),
                nn.Conv2d(c6, c4, 3, 2, 1), nn.ReLU(inplace=True),
            ),
            nn.Sequential(
                nn.Conv2d(c4, c6 // 2, 1), nn.ReLU(inplace=True),
                nn.Conv2d(c6 // 2, c6, 3, 2, 1), nn.ReLU(inplace=True),
            ),
        ])  # fmt: skip
        widths = (c3, c4, c4, c5, c4, c6)
        # Of the finest grid, the background has three scores, of which the largest counts.
        self.scores = nn.ModuleList([
            nn.Conv2d(channels, 4 if number == 0 else 2, 3, 1, 1)
            for number, channels in enumerate(widths)
        ])  # fmt: skip
        self.boxes = nn.ModuleList([nn.Conv2d(channels, 4, 3, 1, 1) for channels in widths])
        self.scales = nn.ParameterList([
            nn.Parameter(torch.full((1, channels, 1, 1), scale))
            for channels, scale in zip(widths[:3], (10.0, 8.0, 5.0), strict=True)
        ])  # fmt: skip

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, 3, height, width] -> scores [B, N, 2] and boxes [B, N, 4] of all anchors."""
        scores, boxes, x = [], [], images
        for number, block in enumerate(self.blocks):
            x = block(x)
            grid = x
            if number < len(self.scales):  # the finer grids are normalised
                grid = F.normalize(x, dim=1) * self.scales[number]
            score, box = self.scores[number](grid), self.boxes[number](grid)
            if number == 0:
                score = torch.cat([score[:, :3].amax(1, keepdim=True), score[:, 3:]], 1)
            scores.append(score.flatten(2).transpose(1, 2))
            boxes.append(box.flatten(2).transpose(1, 2))
        return torch.cat(scores, 1).softmax(-1), torch.cat(boxes, 1)


def _unit(inputs: int, outputs: int, kernel, stride=1, padding=0, dims: int = 2) -> nn.Sequential:
    """Convolution, batch norm and ReLU."""
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    return nn.Sequential(
        conv(inputs, outputs, kernel, stride, padding), norm(outputs), nn.ReLU(inplace=True)
    )


class PublishedSyncNet(nn.Module):
    """SyncNet's two streams on crops of 224 × 224 in colour, as its authors published them.

    Args:
        width: multiplies all numbers of channels; 1: as published.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        a, b, c, d, e = (max(4, int(n * width)) for n in (64, 96, 192, 256, 512))
        self.audio = nn.Sequential(
            _unit(1, a, 3, 1, 1), _unit(a, c, 3, 1, 1), nn.MaxPool2d(3, (1, 2)),
            _unit(c, 2 * c, 3, 1, 1), _unit(2 * c, d, 3, 1, 1), _unit(d, d, 3, 1, 1),
            nn.MaxPool2d(3, 2), _unit(d, e, (5, 4)),
        )  # fmt: skip
        self.video = nn.Sequential(
            _unit(3, b, (5, 7, 7), (1, 2, 2), dims=3), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            _unit(b, d, (1, 5, 5), (1, 2, 2), (0, 1, 1), dims=3),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            _unit(d, d, (1, 3, 3), 1, (0, 1, 1), dims=3),
            _unit(d, d, (1, 3, 3), 1, (0, 1, 1), dims=3),
            _unit(d, d, (1, 3, 3), 1, (0, 1, 1), dims=3),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)), _unit(d, e, (1, 6, 6), dims=3),
        )  # fmt: skip
        self.audio_head, self.video_head = (
            nn.Sequential(nn.Linear(e, e), nn.BatchNorm1d(e), nn.ReLU(inplace=True),
                          nn.Linear(e, 2 * e))
            for _ in range(2)
        )  # fmt: skip

    def embed_audio(self, windows: torch.Tensor) -> torch.Tensor:
        """MFCC [N, 1, 13, 20] -> [N, D]."""
        return self.audio_head(self.audio(windows).flatten(1))

    def embed_video(self, windows: torch.Tensor) -> torch.Tensor:
        """Colour crops [N, 3, 5, 224, 224] -> [N, D]."""
        return self.video_head(self.video(windows).flatten(1))


def compare_offsets(video: torch.Tensor, audio: torch.Tensor, reach: int = REACH) -> torch.Tensor:
    """Distances of each window of video from those of audio up to ``reach`` frames away.

    Two of [N, D] -> [N, 2 · reach + 1].
    """
    padded = F.pad(audio, (0, 0, reach, reach))
    return torch.stack([
        F.pairwise_distance(video, padded[offset : offset + len(video)])
        for offset in range(2 * reach + 1)
    ], 1)  # fmt: skip


# ---------------------------------------------------------------------------- times


class Row(NamedTuple):
    """Seconds that a stage takes for the whole clip, and CPU seconds."""

    stage: str
    wall_s: float
    cpu_s: float


def clocked(stage: str, work: Callable[[], object], scale: float = 1.0) -> Row:
    """The time of one call, times ``scale``."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Row(
        stage, scale * (time.perf_counter() - wall), scale * (time.process_time() - cpu)
    )  # fmt: skip


@torch.inference_mode()
def measure_published(video: Path, n_measured: int, width: float = 1.0) -> list[Row]:
    """The stages of SyncNet's pipeline.

    Args:
        video: a clip of 5 frames or more.
        n_measured: frames on which the networks are measured.
        width: of the networks.
    """
    rows = [clocked("published: decode", lambda: [frame.bgr for frame in read_frames(video)])]
    n_frames = sum(1 for _ in read_frames(video))
    n_measured = max(WINDOW_FRAMES, min(n_measured, n_frames))
    frames = [frame.bgr for frame in islice(read_frames(video), n_measured)]
    detector, network = S3FD(width).eval(), PublishedSyncNet(width).eval()
    scale = n_frames / len(frames)

    def detect() -> None:
        for frame in frames:
            pixels = torch.from_numpy(frame.astype(np.float32) - (104, 117, 123)).float()
            detector(pixels.permute(2, 0, 1)[None])

    rows.append(clocked("published: S3FD in every frame", detect, scale))
    crops: list[np.ndarray] = []

    def crop() -> None:
        for frame in frames:
            side = min(frame.shape[:2])
            crops.append(cv2.resize(frame[:side, :side], (CROP_SIZE, CROP_SIZE)))

    rows.append(clocked("published: crop", crop, scale))
    n_windows = len(crops) - WINDOW_FRAMES + 1
    clip = torch.from_numpy(np.stack(crops)).float().permute(3, 0, 1, 2)
    windows = clip.unfold(1, WINDOW_FRAMES, 1).permute(1, 0, 4, 2, 3)
    window_scale = max(1, n_frames - WINDOW_FRAMES + 1) / n_windows

    def embed_video() -> None:
        for first in range(0, n_windows, BATCH):
            network.embed_video(windows[first : first + BATCH])

    rows.append(clocked("published: embed video", embed_video, window_scale))
    mfcc: list[np.ndarray] = []
    rows.append(clocked("published: audio", lambda: mfcc.append(_mfcc(video))))
    n_all = max(1, n_frames - WINDOW_FRAMES + 1)
    missing = max(0, n_frames * HOPS_PER_FRAME - len(mfcc[0]))
    hops = torch.from_numpy(np.pad(mfcc[0][:, :N_MFCC], ((0, missing), (0, 0))))
    audio_windows = hops.unfold(0, WINDOW_HOPS, HOPS_PER_FRAME)[:n_all, None]
    embeddings: list[torch.Tensor] = []

    def embed_audio() -> None:
        for first in range(0, len(audio_windows), BATCH):
            embeddings.append(network.embed_audio(audio_windows[first : first + BATCH]))

    rows.append(clocked("published: embed audio", embed_audio))
    audio = torch.cat(embeddings)
    rows.append(clocked("published: compare 31 offsets", lambda: compare_offsets(audio, audio)))
    return rows


def _mfcc(video: Path) -> np.ndarray:
    """float32 [hops, 40]."""
    from src.audio.features import compute_features

    samples = read_audio(video)
    return compute_features(samples, len(samples) * FPS // 16000)[0]


def measure_ours(engine: LipSyncInference, video: Path, runs: int) -> Row:
    """Our time to score the clip: the median of several runs after a warm-up."""
    engine.compute_sync_score(video)
    rows = [clocked("ours: all of it", lambda: engine.compute_sync_score(video))
            for _ in range(runs)]  # fmt: skip
    return Row(
        rows[0].stage, *(statistics.median(row[column] for row in rows) for column in (1, 2))
    )


def main() -> int:
    parser = make_parser(
        tr("Measure the time to score a clip beside SyncNet's pipeline as published."),
        "python benchmarks/peers.py --seconds 10",
    )
    add_checkpoint(parser)
    parser.add_argument("--video", help=tr("a clip of your own (default: a synthetic one)"))
    parser.add_argument(
        "--seconds", type=float, default=10, help=tr("duration of the synthetic clip")
    )
    parser.add_argument("--runs", type=int, default=3, help=tr("runs; their median counts"))
    parser.add_argument(
        "--frames", type=int, default=25,
        help=tr("frames on which the published networks are measured"),
    )  # fmt: skip
    args = parser.parse_args()
    settings = settings_of(args, SCORING_SETTINGS)
    engine = LipSyncInference(args.checkpoint, "cpu", settings if args.config else None,
                              args.overrides)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        video = Path(args.video or Path(folder) / "talking_head.mp4")
        if not args.video:
            make_test_clip(video, args.seconds)
        ours = measure_ours(engine, video, args.runs)
        published = measure_published(video, args.frames)
        duration_s = sum(1 for _ in read_frames(video)) / FPS
    print_rows(ours, published, duration_s)
    return 0


def print_rows(ours: Row, published: list[Row], duration_s: float) -> None:
    """Print the seconds of each stage, their sum, and how many times ours fits in it."""
    total = Row("published: sum", *(sum(row[column] for row in published) for column in (1, 2)))
    print(f"{duration_s:.1f} s, {cores()} cores")
    print(f"{'':32s} {'s':>8s} {'CPU s':>8s} {'× real time':>12s}")
    for row in (*published, total, ours):
        speed = duration_s / max(row.wall_s, 1e-9)
        print(f"{row.stage:32s} {row.wall_s:8.2f} {row.cpu_s:8.2f} {speed:12.2f}")
    print(f"published / ours: {total.wall_s / ours.wall_s:.0f} (wall), "
          f"{total.cpu_s / ours.cpu_s:.0f} (CPU)")  # fmt: skip


if __name__ == "__main__":
    run(main)
