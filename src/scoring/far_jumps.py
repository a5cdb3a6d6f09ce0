"""Audio with a piece cut out or inserted: from there on its offset is seconds away.

Within the search range only a part of such a clip fits. The rest looks like another voice, or in
another shot like one off screen; so wherever something does not fit, the clip is scored again with
a range of seconds. That result counts where it is one of jumps, and each of them is certain.
"""

from itertools import pairwise

from ..core.constants import FPS, HOP_MS
from ..core.notes import MismatchedSpan
from ..core.progress import Progress, no_progress
from ..models.backend import Network
from ..preprocessing.clip_features import ClipFeatures
from .calibration import peak_probability
from .clip_evidence import compute_clip_evidence
from .clip_scoring import ScoredClip, score_clip
from .evidence import at_edge, best_offset, similarity_curve
from .far_search import MIN_PROBABILITY, MIN_SPEECH_WINDOWS, is_reliable
from .result_types import OffsetResult
from .speakers import SpeakerChoice
from .timeline import Segment

MIN_LENGTH_S = 10  # a shorter clip has no two parts with enough speech
MAX_LENGTH_S = 15 * 60  # of all face tracks: the evidence of 15 minutes and ±4 s takes 90 MB
MAX_DEVIATION_MS = 60  # spans that measure an offset this far from the reported one do not fit …
CERTAIN = 0.9  # … and an offset less likely correct may be one of several
# Standard errors by which jumps must predict better: with few seconds 3 are hardly possible, and
# here each part has to be certain on its own.
MIN_JUMP_GAIN = 1.5
MAX_DISTANCE_MS = 40  # between the offset of a part and what it measures on its own


def may_jump_far(result: OffsetResult, speakers: SpeakerChoice, duration_s: float) -> bool:
    """Whether a part of a clip does not fit the result."""
    if duration_s < MIN_LENGTH_S or result.status not in ("ok", "weak", "edge"):
        return False
    if result.undetermined or result.offset_probability < CERTAIN or speakers.voice_over:
        return True
    if any(isinstance(note, MismatchedSpan) for note in result.notes):
        return True
    timeline = result.timeline.to_timeline()
    deviates = [
        span.offset_ms is not None
        and abs(span.offset_ms - timeline.offset_at(span.time_s)) > MAX_DEVIATION_MS
        for span in result.offsets
    ]
    return any(first and second for first, second in pairwise(deviates))


def find_far_jumps(
    model: Network,
    clip: ClipFeatures,
    near: OffsetResult,
    face: str | int,
    reaches: tuple[int, int],
    calibration: dict,
    min_probability: float,
    progress: Progress = no_progress,
) -> ScoredClip | None:
    """The clip scored with a range of seconds, where its offset jumps by as much; otherwise None.

    Args:
        near: its result so far.
        face: as in ``speakers.choose_faces``.
        reaches: of the usual search range, and of the wide one, in hops of 10 ms.
        calibration: of the checkpoint.
        min_probability: an offset less likely correct is undetermined.
        progress: reports on the chunks.
    """
    if sum(track.n_frames for track in clip.tracks) > MAX_LENGTH_S * FPS:
        return None
    near_reach, wide_reach = reaches
    evidence = compute_clip_evidence(model, clip, wide_reach, progress)
    wide = score_clip(clip, evidence, face, calibration, min_probability, MIN_JUMP_GAIN)
    if not is_reliable(wide.result) or wide.result.timeline.kind != "jumps":
        return None
    centre_ms = 0.0 if near.undetermined else near.offset_ms
    segments = wide.result.timeline.to_timeline().segments
    is_far = any(abs(part.offset_ms - centre_ms) > near_reach * HOP_MS for part in segments)
    if is_far and all(_is_certain(wide, segment, calibration) for segment in segments):
        return wide
    return None


def _is_certain(wide: ScoredClip, segment: Segment, calibration: dict) -> bool:
    """Whether a segment on its own has its offset, by enough speech."""
    first, stop = round(segment.start_s * FPS), round(segment.end_s * FPS)
    parts = [
        part.part(max(0, first - part.first_frame), max(0, stop - part.first_frame))
        for _, part in wide.speakers.scored(wide.faces)
        if part.first_frame < stop and part.stop > first
    ]
    if not parts:
        return False
    curve = similarity_curve(parts)
    best = best_offset(curve)
    if best is None or curve.windows_at(best) < MIN_SPEECH_WINDOWS or at_edge(curve):
        return False
    if abs(best * HOP_MS - segment.offset_ms) > MAX_DISTANCE_MS:
        return False
    return (peak_probability(curve, calibration) or 0.0) >= MIN_PROBABILITY


def join_jumps(near: OffsetResult, wide: OffsetResult) -> OffsetResult:
    """The result of a clip whose offset jumps by seconds.

    Args:
        near: of the usual search range, of which the scores of the seconds are.
        wide: of ``find_far_jumps``.
    """
    return wide.model_copy(update={"per_second": near.per_second})
