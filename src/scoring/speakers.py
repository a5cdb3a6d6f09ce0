"""Who of the people in the picture the sound belongs to, shot by shot."""

from dataclasses import dataclass

import numpy as np

from ..core.constants import FPS
from ..core.errors import ConfigError
from ..i18n.messages import tr
from .calibration import peak_probability, probability_at
from .evidence import Evidence, best_offset, curve_of

FITTING = 0.5  # chance of being in sync from which a face fits an offset
ENOUGH = FPS  # windows with speech from which a shot can show that nobody in it speaks


@dataclass(frozen=True)
class FaceEvidence:
    """A followed face with its evidence.

    Attributes:
        number: in ``details["tracks"]``, from 0.
        shot: number of its shot, from 0.
        shot_begin: first frame of its shot, before which the picture is cut.
        first_frame: of the clip.
        boxes: float32 [T, 4], pixels x0 y0 x1 y1.
        evidence: its windows against the sound.
    """

    number: int
    shot: int
    shot_begin: int
    first_frame: int
    boxes: np.ndarray
    evidence: Evidence

    @property
    def stop(self) -> int:
        """The frame after its last."""
        return self.first_frame + len(self.boxes)

    @property
    def size(self) -> float:
        """Area times duration, pixels² · frames."""
        return float((self.boxes[:, 2:] - self.boxes[:, :2]).prod(1).sum())


@dataclass(frozen=True)
class SpeakerChoice:
    """Who speaks.

    Attributes:
        chosen: the faces the result is of, in order of time.
        voice_over: numbers of shots in which somebody is heard whom the picture does not show.
    """

    chosen: list[FaceEvidence]
    voice_over: list[int]


def choose_faces(
    faces: list[FaceEvidence], how: str | int, calibration: dict, least_probability: float
) -> SpeakerChoice:
    """Whose mouths are compared with the sound.

    Args:
        how: ``speaking``, ``largest``, or the number of a face.
        calibration, least_probability: of ``speaking``.

    Raises:
        ConfigError: there is no such face.
    """
    if how == "speaking":
        return speaking(faces, calibration, least_probability)
    if how == "largest":
        return largest(faces)
    chosen = [face for face in faces if str(face.number) == str(how)]
    if not chosen:
        raise ConfigError(
            tr("face {face}: there is none; speaking, largest, or a number from 0 to {last}",
               face=how, last=len(faces) - 1)
        )  # fmt: skip
    return SpeakerChoice(chosen, [])


def voice_over_notes(faces: list[FaceEvidence], speakers: SpeakerChoice) -> list[str]:
    """A sentence for each shot that is left out."""
    found = []
    for number in speakers.voice_over:
        shot = [face for face in faces if face.shot == number]
        first, stop = min(face.first_frame for face in shot), max(face.stop for face in shot)
        found.append(
            tr("shot {number} ({first:.1f}–{last:.1f} s) is left out: who speaks is not in the "
               "picture", number=number, first=first / FPS, last=stop / FPS)
        )  # fmt: skip
    return found


def speaking(
    faces: list[FaceEvidence], calibration: dict, least_probability: float
) -> SpeakerChoice:
    """The face of each shot that the sound belongs to; where it was lost and found again, or the
    next one speaks, the faces that follow one another.

    A shot that shows an offset of its own is believed (a film may be cut so that it jumps). The
    others are asked about the offset that the first ones, or all together, show: who fits there
    speaks, and where nobody does though there is speech enough, the voice is from elsewhere.

    Args:
        calibration: of the checkpoint.
        least_probability: an offset less likely right says nothing.
    """
    shots: dict[int, list[FaceEvidence]] = {}
    for face in faces:
        shots.setdefault(face.shot, []).append(face)
    certain, best = {}, {}
    for number, people in shots.items():
        chances = [_chance(face, calibration) for face in people]
        best[number] = [people[int(np.argmax(chances))]]
        if max(chances) >= least_probability:
            certain[number] = _in_turn(people, chances, least_probability)
    known = [face for found in (certain or best).values() for face in found]
    offset = best_offset(curve_of([face.evidence for face in known]))
    chosen, voice_over = [], []
    for number, people in shots.items():
        if offset is None:
            chosen += best[number]
            continue
        fits = [_fits(face, offset, calibration) for face in people]
        found = _in_turn(people, fits, FITTING, certain.get(number, []))
        heard = max(int(face.evidence.usable.sum(0).max()) for face in people)
        if certain and not found and heard >= ENOUGH:
            voice_over.append(number)
        else:
            chosen += found or [people[int(np.argmax(fits))]]
    return SpeakerChoice(sorted(chosen, key=lambda face: face.first_frame), voice_over)


def cuts_between(faces: list[FaceEvidence]) -> list[float]:
    """Seconds at which a shot with a face begins after one before, rising."""
    begins = {face.shot: face.shot_begin for face in faces}
    return [first / FPS for first in sorted(begins.values())[1:]]


def largest(faces: list[FaceEvidence]) -> SpeakerChoice:
    """Of faces that share frames the largest (area times duration)."""
    chosen: list[FaceEvidence] = []
    for face in sorted(faces, key=lambda one: one.size, reverse=True):
        if _apart(face, chosen):
            chosen.append(face)
    return SpeakerChoice(sorted(chosen, key=lambda face: face.first_frame), [])


def _apart(face: FaceEvidence, others: list[FaceEvidence]) -> bool:
    """Whether it shares no frame with any of them."""
    return all(face.stop <= one.first_frame or one.stop <= face.first_frame for one in others)


def _in_turn(
    people: list[FaceEvidence],
    chances: list[float],
    least: float,
    found: list[FaceEvidence] | None = None,
) -> list[FaceEvidence]:
    """Those with a chance of so much at least, the likeliest first, that share no frame with each
    other, nor with those that were found before."""
    found = list(found or [])
    for place in np.argsort(-np.array(chances), kind="stable"):
        if chances[place] >= least and _apart(people[place], found):
            found.append(people[place])
    return found


def _chance(face: FaceEvidence, calibration: dict) -> float:
    """That the face's own best offset is right; 0 without evidence."""
    return peak_probability(curve_of([face.evidence]), calibration) or 0.0


def _fits(face: FaceEvidence, offset: int, calibration: dict) -> float:
    """The chance that the face is in sync at an offset in steps; 0 without evidence."""
    return probability_at(curve_of([face.evidence]), offset, calibration) or 0.0
