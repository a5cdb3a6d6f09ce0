"""The offset of a clip: within the search range, and where that does not fit, seconds away."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..audio.reverberation import MAX_LATE_MS, is_reverberant
from ..core.config import InferenceConfig
from ..core.constants import HOP_MS, HOPS_PER_FRAME
from ..core.notes import Reverberant
from ..core.progress import Progress
from ..preprocessing.clip_features import ClipFeatures
from ..scoring.clip_evidence import compute_clip_evidence
from ..scoring.clip_scoring import ScoredClip, score_clip
from ..scoring.far_jumps import find_far_jumps, join_jumps, may_jump_far
from ..scoring.far_search import find_far_offset, is_reliable, join_far, join_tracks
from ..scoring.result_builder import describe_tracks
from ..scoring.result_types import Edge, OffsetResult, Weak

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import TrainedModel
    from ..checkpoints.exported import ExportedModel

Trained: TypeAlias = "TrainedModel | ExportedModel"


@dataclass(frozen=True)
class MeasuredOffset:
    """What a clip measures.

    Attributes:
        result: the offset.
        tracks: of the faces, as a result lists them.
        scored: the clip as it was scored for this result.
    """

    result: OffsetResult
    tracks: list
    scored: ScoredClip


def measure_offset(
    trained: Trained, settings: InferenceConfig, clip: ClipFeatures, face: str | int,
    progress: Progress,
) -> MeasuredOffset:  # fmt: skip
    """Measure the offset of a clip that was extracted with all faces.

    Args:
        face: as in ``LipSyncInference.compute_sync_score``.

    Raises:
        ConfigError: there is no such face.
    """
    max_offset_hops = settings.max_offset_frames * HOPS_PER_FRAME
    min_probability = settings.min_offset_probability
    calibration = trained.calibration
    evidence = compute_clip_evidence(trained.model, clip, max_offset_hops, progress)
    scored = score_clip(clip, evidence, face, calibration, min_probability)
    result = scored.result
    tracks = describe_tracks(scored.faces, scored.speakers, calibration)
    far_hops = round(settings.far_offset_s * 1000 / HOP_MS)
    if far_hops <= max_offset_hops:
        return MeasuredOffset(result, tracks, scored)
    if isinstance(result.reason, Weak | Edge):
        far, centre = _search_far(trained, settings, clip, scored, face, far_hops, progress)
        if far is not None:
            result = join_far(result, far.result, centre)
            far_tracks = describe_tracks(far.faces, far.speakers, calibration)
            tracks, scored = join_tracks(tracks, far_tracks, centre), far
    if may_jump_far(result, scored.speakers, clip.duration_s):
        wide = find_far_jumps(
            trained.model, clip, result, face, (max_offset_hops, far_hops), calibration,
            min_probability, progress,
        )  # fmt: skip
        if wide is not None:
            result = join_jumps(result, wide.result)
            wide_tracks = describe_tracks(wide.faces, wide.speakers, calibration)
            tracks, scored = join_tracks(tracks, wide_tracks, 0), wide
    return MeasuredOffset(result, tracks, scored)


def _search_far(
    trained: Trained, settings: InferenceConfig, clip: ClipFeatures, near: ScoredClip,
    face: str | int, far_hops: int, progress: Progress,
) -> tuple[ScoredClip | None, int]:  # fmt: skip
    """Look for an offset of seconds, within ``±far_hops``, where the search range shows none: the
    clip scored around it, or None, and that offset in hops."""
    numbers = None
    if face != "speaking":
        numbers = [chosen.number for chosen in near.speakers.chosen]
    centre = find_far_offset(trained.model, clip, far_hops, trained.calibration, progress, numbers)
    if centre is None:
        return None, 0
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    evidence = compute_clip_evidence(trained.model, clip, reach, progress, centre)
    far = score_clip(clip, evidence, face, trained.calibration, settings.min_offset_probability)
    return (far if is_reliable(far.result) else None), centre


def reverberation_notes(clip: ClipFeatures) -> list[Reverberant]:
    """A note where the audio is so reverberant that it seems late."""
    if not is_reverberant(clip.audio.blocks(clip.n_frames)):
        return []
    return [Reverberant(max_late_ms=MAX_LATE_MS)]
