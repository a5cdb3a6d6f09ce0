"""The face tracks of a clip and their evidence -> who speaks, and with which offset."""

from dataclasses import dataclass

from ..preprocessing.clip_features import ClipFeatures
from .evidence import Evidence
from .result_builder import build_result
from .result_types import OffsetResult
from .speakers import FaceEvidence, SpeakerChoice, choose_faces, cuts_between
from .timeline_fit import MIN_GAIN


@dataclass(frozen=True)
class ScoredClip:
    """A clip whose lips were compared with its audio.

    Attributes:
        faces: all of its face tracks.
        speakers: those that the result is of.
        result: score, offset and status.
    """

    faces: list[FaceEvidence]
    speakers: SpeakerChoice
    result: OffsetResult


def score_clip(
    clip: ClipFeatures,
    evidence: list[Evidence],
    face: str | int,
    calibration: dict,
    min_probability: float,
    min_jump_gain: float = MIN_GAIN,
) -> ScoredClip:
    """Choose the faces that speak, and read their offset off the evidence.

    Args:
        clip: with all of its faces.
        evidence: of each track (``clip_evidence.compute_clip_evidence``).
        face: as in ``speakers.choose_faces``.
        calibration: of the checkpoint.
        min_probability: an offset less likely correct is undetermined.
        min_jump_gain: as of ``timeline_fit.fit_timeline``.

    Raises:
        ConfigError: there is no such face.
    """
    faces = [
        FaceEvidence(number, track.shot, track.shot_begin, track.first_frame, track.boxes, windows)
        for number, (track, windows) in enumerate(zip(clip.tracks, evidence, strict=True))
    ]
    speakers = choose_faces(faces, face, calibration, min_probability)
    scored = speakers.scored(faces)
    result = build_result(
        [part for _, part in scored], clip.n_frames, calibration, min_probability,
        cuts_between(faces), [number for number, _ in scored] if speakers.turns else None,
        min_jump_gain,
    )  # fmt: skip
    return ScoredClip(faces, speakers, result)
