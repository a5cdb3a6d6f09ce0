"""The active speaker: whose lips match the audio, shot by shot, and within a shot by turns."""

from dataclasses import dataclass, replace

import numpy as np

from ..core.constants import FPS
from ..core.errors import ConfigError
from ..core.notes import VoiceOver
from ..i18n.messages import tr
from .calibration import peak_probability, probability_at
from .evidence import Evidence, best_offset, similarity_curve
from .turns import Turn, find_turns, likely_offsets, speech_spans

MATCH_PROBABILITY = 0.5  # of being in sync, from which a face matches an offset
MIN_SPEECH_FRAMES = FPS  # windows with speech from which a shot can show that no face in it speaks


@dataclass(frozen=True)
class FaceEvidence:
    """A face track with its evidence.

    Attributes:
        number: in ``details["tracks"]``, from 0.
        shot: number of its shot, from 0.
        shot_begin: first frame of its shot; there is a cut before it.
        first_frame: of the clip.
        boxes: float32 [T, 4], pixels x0 y0 x1 y1.
        evidence: its windows against the audio.
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
        chosen: the faces the result is of, in order of time; no two share a frame. Of a shot with
            turns those that fit the audio best over all of it.
        voice_over: numbers of shots with speech of someone who is off screen.
        turns: of shots in which several people speak, in order of time. There the result is of
            these, and not of ``chosen``.
    """

    chosen: list[FaceEvidence]
    voice_over: list[int]
    turns: tuple[Turn, ...] = ()

    def scored(self, faces: list[FaceEvidence]) -> list[tuple[int, Evidence]]:
        """What the result is of: (number of the face, its evidence) each, in order of time.

        Args:
            faces: all of them.
        """
        with_turns = self._shots_with_turns(faces)
        parts = [(turn.number, turn.evidence) for turn in self.turns]
        parts += [
            (face.number, face.evidence) for face in self.chosen if face.shot not in with_turns
        ]
        return sorted(parts, key=lambda part: part[1].first_frame)

    def spans(self, faces: list[FaceEvidence]) -> dict[int, list[tuple[int, int]]]:
        """When each face is the speaker, without long pauses: (first, stop) frames of the clip, by
        the number of the face.

        Args:
            faces: all of them.
        """
        spans: dict[int, list[tuple[int, int]]] = {face.number: [] for face in faces}
        for turn in self.turns:
            spans[turn.number].append((turn.first_frame, turn.stop))
        with_turns = self._shots_with_turns(faces)
        for face in self.chosen:
            if face.shot not in with_turns:
                spans[face.number] = speech_spans(face.evidence)
        return spans

    def _shots_with_turns(self, faces: list[FaceEvidence]) -> set[int]:
        numbers = {turn.number for turn in self.turns}
        return {face.shot for face in faces if face.number in numbers}


def choose_faces(
    faces: list[FaceEvidence], choice: str | int, calibration: dict, min_probability: float
) -> SpeakerChoice:
    """The faces whose lips are compared with the audio.

    Args:
        choice: ``speaking``, ``largest``, or the number of a face.
        calibration, min_probability: as in ``choose_speaking``.

    Raises:
        ConfigError: there is no such face.
    """
    if choice == "speaking":
        speakers = choose_speaking(faces, calibration, min_probability)
        return _with_turns(speakers, faces, calibration, min_probability)
    if choice == "largest":
        return choose_largest(faces)
    chosen = [face for face in faces if str(face.number) == str(choice)]
    if not chosen:
        raise ConfigError(
            tr("face {face} does not exist: use speaking, largest, or a number from 0 to {last}",
               face=choice, last=len(faces) - 1)
        )  # fmt: skip
    return SpeakerChoice(chosen, [])


def _with_turns(
    choice: SpeakerChoice, faces: list[FaceEvidence], calibration: dict, min_probability: float
) -> SpeakerChoice:
    """A choice with the turns of the shots in which several people speak."""
    turns, voice_over = [], list(choice.voice_over)
    if len({face.shot for face in faces}) == len(faces):
        return choice
    offsets = {
        face.number: likely_offsets(face.evidence, calibration, min_probability) for face in faces
    }
    for shot in sorted({face.shot for face in faces}):
        tracks = {face.number: face.evidence for face in faces if face.shot == shot}
        in_shot = find_turns(tracks, offsets) if len(tracks) > 1 else []
        if in_shot and shot in voice_over:
            voice_over.remove(shot)
        turns += in_shot
    return replace(choice, voice_over=voice_over, turns=tuple(turns))


def voice_over_notes(faces: list[FaceEvidence], speakers: SpeakerChoice) -> list[VoiceOver]:
    """A note for each shot that is skipped."""
    notes = []
    for number in speakers.voice_over:
        shot = [face for face in faces if face.shot == number]
        first, stop = min(face.first_frame for face in shot), max(face.stop for face in shot)
        notes.append(
            VoiceOver(shot=number, start_s=round(first / FPS, 3), end_s=round(stop / FPS, 3))
        )
    return notes


def choose_speaking(
    faces: list[FaceEvidence], calibration: dict, min_probability: float
) -> SpeakerChoice:
    """The face of each shot whose lips match the audio; where its track is interrupted, or the next
    person speaks, the faces that follow one another.

    A shot that shows an offset of its own is believed (a video may be edited so that it jumps). The
    others are scored at the offset that the first ones, or all together, show: who matches there
    speaks, and where no face does though there is enough speech, it is a voice-over.

    Args:
        calibration: of the checkpoint.
        min_probability: an offset less likely correct is no evidence.
    """
    shots: dict[int, list[FaceEvidence]] = {}
    for face in faces:
        shots.setdefault(face.shot, []).append(face)
    certain, best = {}, {}
    for number, candidates in shots.items():
        probabilities = [_offset_probability(face, calibration) for face in candidates]
        best[number] = [candidates[int(np.argmax(probabilities))]]
        if max(probabilities) >= min_probability:
            certain[number] = _without_overlap(candidates, probabilities, min_probability)
    known = [face for speakers in (certain or best).values() for face in speakers]
    offset = best_offset(similarity_curve([face.evidence for face in known]))
    chosen, voice_over = [], []
    for number, candidates in shots.items():
        if offset is None:
            chosen += best[number]
            continue
        probabilities = [_match_probability(face, offset, calibration) for face in candidates]
        speakers = _without_overlap(
            candidates, probabilities, MATCH_PROBABILITY, certain.get(number, [])
        )
        speech_frames = max(int(face.evidence.usable.sum(0).max()) for face in candidates)
        if certain and not speakers and speech_frames >= MIN_SPEECH_FRAMES:
            voice_over.append(number)
        else:
            chosen += speakers or [candidates[int(np.argmax(probabilities))]]
    return SpeakerChoice(sorted(chosen, key=lambda face: face.first_frame), voice_over)


def cuts_between(faces: list[FaceEvidence]) -> list[float]:
    """Seconds at which a shot with a face begins after another one, rising."""
    begins = {face.shot: face.shot_begin for face in faces}
    return [first / FPS for first in sorted(begins.values())[1:]]


def choose_largest(faces: list[FaceEvidence]) -> SpeakerChoice:
    """Of faces that share frames the largest (area times duration)."""
    chosen: list[FaceEvidence] = []
    for face in sorted(faces, key=lambda face: face.size, reverse=True):
        if not _overlaps(face, chosen):
            chosen.append(face)
    return SpeakerChoice(sorted(chosen, key=lambda face: face.first_frame), [])


def _overlaps(face: FaceEvidence, others: list[FaceEvidence]) -> bool:
    """Whether it shares a frame with any of them."""
    return any(face.stop > other.first_frame and other.stop > face.first_frame for other in others)


def _without_overlap(
    candidates: list[FaceEvidence],
    probabilities: list[float],
    min_probability: float,
    chosen: list[FaceEvidence] | None = None,
) -> list[FaceEvidence]:
    """Those that are likely enough, the likeliest first, and share no frame with each other.

    Args:
        chosen: faces that are chosen already, and stay.
    """
    chosen = list(chosen or [])
    for index in np.argsort(-np.array(probabilities), kind="stable"):
        if probabilities[index] >= min_probability and not _overlaps(candidates[index], chosen):
            chosen.append(candidates[index])
    return chosen


def _offset_probability(face: FaceEvidence, calibration: dict) -> float:
    """That the face's own best offset is correct; 0 without evidence."""
    return peak_probability(similarity_curve([face.evidence]), calibration) or 0.0


def _match_probability(face: FaceEvidence, offset: int, calibration: dict) -> float:
    """That the face is in sync at an offset in hops; 0 without evidence."""
    return probability_at(similarity_curve([face.evidence]), offset, calibration) or 0.0
