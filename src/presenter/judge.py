"""How good the result is, as a network sees it that took no part in making it.

A sync model chooses the frames, so its own opinion of them proves little. The judge is another
network of the same kind, trained from another seed on other crops, other audio features and without
the presenters of the benchmark; it is used for nothing else.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from ..checkpoints.checkpoint import TrainedModel, load_trained
from ..core.constants import FPS, HOP_MS, HOPS_PER_FRAME
from ..core.constants import WINDOW_FRAMES as MODEL_FRAMES
from ..core.progress import Progress, no_progress
from ..core.resources import resource_path
from ..faces.detection import Detector
from ..preprocessing.clip_features import AudioFeatures, ClipFeatures, TrackFeatures
from ..preprocessing.extract import ExtractOptions, extract_clip
from ..scoring.clip_evidence import compute_clip_evidence
from ..scoring.clip_scoring import score_clip
from ..scoring.evidence import (
    SEARCH_REACH,
    TOLERANCE_FRAMES,
    Evidence,
    lse_metrics,
    peak_ms,
    similarity_curve,
)

JUDGE_FILE = "pretrained/judge.pth"
WINDOW_FRAMES = FPS  # of the windows that are in sync or not: 1 s …
MIN_SPOKEN = 0.75  # … and the share of it with speech
MAX_OFFSET = 15  # frames


class JudgeFigures(BaseModel):
    """What the judge measures in a video.

    Attributes:
        confidence: LSE-C, of all speech; None without enough of it.
        offset_ms: by how much the audio must be delayed; None likewise.
        in_sync: share of the 1 s windows with speech whose best offset is within ±1 frame
            (``second_hits``); None where there is no such window.
        windows: their number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float | None
    offset_ms: float | None
    in_sync: float | None
    windows: int


@dataclass(frozen=True)
class Judge:
    """A loaded judge.

    Attributes:
        trained: the network and its settings.
        detector: of faces.
    """

    trained: TrainedModel
    detector: Detector

    def measure(
        self,
        video_path: str | Path,
        audio_path: str | Path | None = None,
        face: str | int = "largest",
        true_offset_ms: float = 0.0,
        progress: Progress = no_progress,
    ) -> JudgeFigures:
        """Judge a pair.

        Args:
            audio_path: None: the video's own audio.
            face: as in ``speakers.choose_faces``.
            true_offset_ms: the offset that counts as in sync.

        Raises:
            MediaError: the pair cannot be read.
        """
        with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
            clip = extract_clip(
                video_path, audio_path, self.trained.config.data, self.detector, Path(folder),
                ExtractOptions(threads=0, all_faces=True), progress,
            )  # fmt: skip
            return self._measure(clip, face, true_offset_ms, progress)

    def measure_clip(
        self,
        clip: ClipFeatures,
        face: str | int = "largest",
        true_offset_ms: float = 0.0,
        progress: Progress = no_progress,
    ) -> JudgeFigures | None:
        """Judge a clip that was extracted for another model.

        Its crops are reduced to the judge's size, and of its MFCC the first ones are taken: what
        ``measure`` would extract, but for the resampling.

        Returns:
            the figures; None: its crops are smaller or its MFCC fewer than the judge's.
        """
        data = self.trained.config.data
        n_mfcc = clip.audio.dtype["mfcc"].shape[1]
        if n_mfcc < data.n_mfcc or any(
            track.crops.shape[1] < data.input_size for track in clip.tracks
        ):
            return None
        tracks = [_ReducedTrack(**vars(track), side=data.input_size) for track in clip.tracks]
        reduced = replace(clip, tracks=tracks, audio=_ReducedAudio(clip.audio, data.n_mfcc))
        return self._measure(reduced, face, true_offset_ms, progress)

    def _measure(
        self, clip: ClipFeatures, face: str | int, true_offset_ms: float, progress: Progress
    ) -> JudgeFigures:
        trained = self.trained
        evidence = compute_clip_evidence(trained.model, clip, 2 * SEARCH_REACH, progress)
        scored = score_clip(clip, evidence, face, trained.calibration, 0.0)
        hops = round(true_offset_ms / HOP_MS)
        hops = min(max(hops, -SEARCH_REACH), SEARCH_REACH)
        parts = [chosen.evidence.shifted(hops, SEARCH_REACH) for chosen in scored.speakers.chosen]
        return _figures(parts, hops * HOP_MS)


@dataclass
class _ReducedTrack(TrackFeatures):
    """A track whose crops are read at a smaller ``side``."""

    side: int = 0

    def read_crops(self, first: int, stop: int) -> np.ndarray:
        size = (self.side, self.side)
        crops = super().read_crops(first, stop)
        return np.stack([cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops])


class _ReducedAudio:
    """The audio of a clip with fewer MFCC."""

    def __init__(self, audio: AudioFeatures, n_mfcc: int):
        self._audio, self._n_mfcc = audio, n_mfcc

    def __getitem__(self, span: slice) -> dict[str, np.ndarray]:
        records = self._audio[span]
        mfcc = np.ascontiguousarray(records["mfcc"][..., : self._n_mfcc])
        return {"mfcc": mfcc, "speech": records["speech"]}

    def read_speech(self, first: int, stop: int) -> np.ndarray:
        return self._audio.read_speech(first, stop)


def second_hits(evidence: Evidence) -> np.ndarray:
    """Whether the offset is correct, within ±1 frame, in each second with speech.

    As ``scoring.evidence.offset_hits`` at a clip length of 25 frames, the best of −15 … +15 frames;
    but a pause shorter than a quarter of the second does not rule it out, and is left out of the
    mean: otherwise hardly a second of ordinary speech would count.

    Args:
        evidence: in sync at offset 0, for at least ±15 frames.

    Returns:
        bool [n], of the seconds that begin at each frame.
    """
    columns = evidence.reach + np.arange(-MAX_OFFSET, MAX_OFFSET + 1) * HOPS_PER_FRAME
    similarity = evidence.similarity[:, columns]
    is_complete = (similarity != 0).all(1)  # near the ends there is no audio at some offsets
    spoken = evidence.usable[:, evidence.reach] & is_complete
    similarity = np.where(spoken[:, None], similarity, 0)
    n_rows = WINDOW_FRAMES - MODEL_FRAMES + 1
    if len(similarity) < n_rows:
        return np.zeros(0, bool)
    ones = np.ones(n_rows)
    counted = np.convolve(is_complete, ones, "valid") > n_rows - 0.5
    counted &= np.convolve(spoken, ones, "valid") >= MIN_SPOKEN * n_rows
    sums = np.cumsum(np.vstack([np.zeros(len(columns)), similarity]), axis=0)
    totals = (sums[n_rows:] - sums[:-n_rows])[counted]
    return np.abs(totals.argmax(1) - MAX_OFFSET) <= TOLERANCE_FRAMES


def _figures(parts: list[Evidence], shifted_ms: float) -> JudgeFigures:
    hits = np.concatenate([np.zeros(0, bool), *map(second_hits, parts)])
    curve = similarity_curve([part.with_speech() for part in parts])
    offset_ms = peak_ms(curve)
    confidence = None if offset_ms is None else round(float(lse_metrics(curve)[1]), 4)
    return JudgeFigures(
        confidence=confidence,
        offset_ms=None if offset_ms is None else round(float(offset_ms) + shifted_ms, 1),
        in_sync=round(float(hits.mean()), 4) if len(hits) else None,
        windows=len(hits),
    )


def load_judge(detector: Detector, device: str) -> Judge:
    """The judge that comes with the project.

    Raises:
        MissingFileError, CheckpointError: its file is missing or damaged.
    """
    trained = load_trained(resource_path(JUDGE_FILE), torch.device("cpu"))
    trained.model.to(device)
    return Judge(trained, detector)
