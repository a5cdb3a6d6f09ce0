"""Who of the people in the picture the sound belongs to, shot by shot."""

from dataclasses import dataclass

import numpy as np

from src.calibration import peak_probability, probability_at
from src.media import FPS
from src.metrics import Evidence, best_offset, curve_of

ENOUGH = FPS  # windows with speech from which a shot can show that nobody in it speaks


@dataclass(frozen=True)
class Face:
    """A followed face with its evidence.

    Attributes:
        number: in ``details["tracks"]``, from 0.
        shot: number of its shot, from 0.
        area: mean area of its boxes, pixels².
        evidence: its windows against the sound.
    """

    number: int
    shot: int
    area: float
    evidence: Evidence


@dataclass(frozen=True)
class Speakers:
    """Who speaks.

    Attributes:
        chosen: the faces the result is of, in order of time.
        voice_over: numbers of shots in which somebody is heard whom the picture does not show.
    """

    chosen: list[Face]
    voice_over: list[int]


def speaking(faces: list[Face], calibration: dict, least_probability: float) -> Speakers:
    """The face of each shot that the sound belongs to.

    A shot that shows an offset of its own is believed (a film may be cut so that it jumps). The
    others are asked about the offset that the first ones, or all together, show: who fits there
    speaks, and where nobody does though there is speech enough, the voice is from elsewhere.

    Args:
        calibration: of the checkpoint.
        least_probability: an offset less likely right says nothing.
    """
    shots: dict[int, list[Face]] = {}
    for face in faces:
        shots.setdefault(face.shot, []).append(face)
    certain, best = {}, {}
    for number, people in shots.items():
        chances = [_chance(face, calibration) for face in people]
        first = int(np.argmax(chances))
        best[number] = people[first]
        if chances[first] >= least_probability:
            certain[number] = people[first]
    known = list((certain or best).values())
    offset = best_offset(curve_of([face.evidence for face in known]))
    chosen, voice_over = [], []
    for number, people in shots.items():
        if number in certain or offset is None:
            chosen.append(best[number])
            continue
        fits = [_fits(face, offset, calibration) for face in people]
        first = int(np.argmax(fits))
        heard = max(int(face.evidence.usable.sum(0).max()) for face in people)
        if certain and fits[first] < 0.5 and heard >= ENOUGH:
            voice_over.append(number)
        else:
            chosen.append(people[first])
    return Speakers(sorted(chosen, key=lambda face: face.evidence.first_frame), voice_over)


def largest(faces: list[Face]) -> Speakers:
    """Of faces that share frames the largest (area times duration)."""
    by_size = sorted(faces, key=lambda face: face.area * len(face.evidence.similarity),
                     reverse=True)  # fmt: skip
    chosen: list[Face] = []
    for face in by_size:
        if not any(_meet(face.evidence, other.evidence) for other in chosen):
            chosen.append(face)
    return Speakers(sorted(chosen, key=lambda face: face.evidence.first_frame), [])


def _meet(one: Evidence, other: Evidence) -> bool:
    """Whether two faces share windows."""
    first = max(one.first_frame, other.first_frame)
    last = min(one.first_frame + len(one.similarity), other.first_frame + len(other.similarity))
    return first < last


def _chance(face: Face, calibration: dict) -> float:
    """That the face's own best offset is right; 0 without evidence."""
    return peak_probability(curve_of([face.evidence]), calibration) or 0.0


def _fits(face: Face, offset: int, calibration: dict) -> float:
    """The chance that the face is in sync at an offset in steps; 0 without evidence."""
    return probability_at(curve_of([face.evidence]), offset, calibration) or 0.0
