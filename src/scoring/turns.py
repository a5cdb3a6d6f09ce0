"""Who speaks when, of several people who are in one shot at the same time.

Each face has an offset of its own, at which its windows are similar to the audio while it speaks
and not while it listens. A change of speaker costs as much evidence as a good third of a second
of speech gives (hidden Markov model, Viterbi 1967), so that a moment that fits badly ends no turn.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..core.constants import FPS, HOPS_PER_FRAME, WINDOW_FRAMES
from .calibration import peak_probability
from .evidence import Evidence, best_offset, similarity_curve

HALF_WINDOW = WINDOW_FRAMES // 2  # frames from the beginning of a window to its middle
CHUNK_FRAMES = 20 * FPS  # a face's offset is measured in chunks: it may drift or jump
BLOCK_FRAMES = 2 * FPS  # in a chunk, where its similarity over so many windows is highest
NEAR_HOPS = HOPS_PER_FRAME // 4  # the offset of a chunk is right to within so many hops
# A window shows a face speaking from half of the similarity it has when it speaks, within limits.
# In videos made of real clips that similarity is 0.5 above the mean of all offsets in the median,
# 0.15 in the worst half second of 20; that of a listener 0.03 and 0.16.
MIN_LEVEL, MAX_LEVEL = 0.08, 0.2
CHANGE_COST = 2.5  # similarity × windows
MIN_TURN_WINDOWS = 20  # of speech: a turn with less counts for nobody
# Likewise for its parts between long pauses, and for one that a cut begins or ends.
MIN_PART_WINDOWS = 8
# A turn begins so long before its first word, and ends so long after its last; a pause that is
# longer than both ends it, also where the same person goes on.
MARGIN_FRAMES = 20
ABSENT = -1e6  # the score of a face that is not visible


@dataclass(frozen=True)
class Turn:
    """A time in which one face speaks.

    Attributes:
        number: of the face.
        first_frame, stop: frames of the clip, ``first_frame … stop − 1``.
        evidence: the windows whose middle frame is one of them.
    """

    number: int
    first_frame: int
    stop: int
    evidence: Evidence


def find_turns(tracks: dict[int, Evidence], offsets: dict[int, list[int | None]]) -> list[Turn]:
    """The turns of the people in one shot, in order of time; no two share a frame.

    Args:
        tracks: the evidence of each face of the shot, by its number.
        offsets: ``likely_offsets`` of every face of the clip, by its number.

    Returns:
        no turn unless two faces that are visible at the same time both have one: whom a shot with
        one speaker belongs to is decided by all of it.
    """
    known = sorted({hops for chunks in offsets.values() for hops in chunks if hops is not None})
    if not known:
        return []
    turns = _turns({
        number: _SpeakerEvidence.of(evidence, offsets[number], known)
        for number, evidence in tracks.items()
        if len(evidence.similarity)
    })  # fmt: skip
    both_visible = any(
        tracks[first.number].stop > tracks[second.number].first_frame
        and tracks[second.number].stop > tracks[first.number].first_frame
        for first in turns
        for second in turns
        if first.number < second.number
    )
    if not both_visible:
        return []
    return [
        replace(turn, evidence=_part(tracks[turn.number], turn.first_frame, turn.stop))
        for turn in _with_margins(turns, tracks)
    ]


def likely_offsets(
    evidence: Evidence, calibration: dict, min_probability: float
) -> list[int | None]:
    """The offset of a face in each chunk of ``CHUNK_FRAMES``, in hops; None: none is likely, as
    where it only listens.

    Args:
        calibration: of the checkpoint.
        min_probability: an offset less likely correct is no evidence.
    """
    return [
        _offset_of(evidence.part(first, first + CHUNK_FRAMES), calibration, min_probability)
        for first in range(0, len(evidence.similarity), CHUNK_FRAMES)
    ]


def speech_spans(evidence: Evidence) -> list[tuple[int, int]]:
    """Where someone speaks, with the pauses between: (first, stop) frames of the clip each."""
    frames = np.flatnonzero(evidence.usable[:, evidence.reach])
    begin, end = evidence.first_frame, evidence.stop + WINDOW_FRAMES - 1
    return [
        (max(begin, first - MARGIN_FRAMES), min(end, stop + MARGIN_FRAMES))
        for first, stop in _runs(frames + evidence.first_frame + HALF_WINDOW)
    ]


@dataclass(frozen=True)
class _SpeakerEvidence:
    """What each window of a face says for it speaking.

    Attributes:
        first_frame: middle frame of its first window.
        score: float [W], > 0: it speaks; 0 in pauses.
        has_speech: bool [W], at its offset.
    """

    first_frame: int
    score: np.ndarray
    has_speech: np.ndarray

    @classmethod
    def of(
        cls, evidence: Evidence, offsets: list[int | None], known: list[int]
    ) -> "_SpeakerEvidence":
        """What the windows of a face say.

        Args:
            offsets: its ``likely_offsets``.
            known: offsets of any face of the clip: one that is too short to show an offset of its
                own may have one of these.
        """
        above_mean = evidence.above_mean()
        similarity = np.full(len(above_mean), -np.inf)
        has_speech = np.zeros(len(above_mean), bool)
        own = [hops for hops in offsets if hops is not None]
        for number in range(len(offsets)):
            rows = slice(number * CHUNK_FRAMES, (number + 1) * CHUNK_FRAMES)
            nearby = [hops for hops in offsets[max(0, number - 1) : number + 2] if hops is not None]
            for hops in set(nearby or own or known):
                middle = hops + evidence.reach
                near = slice(max(0, middle - NEAR_HOPS), middle + NEAR_HOPS + 1)
                similarity[rows] = np.maximum(similarity[rows], above_mean[rows, near].max(1))
                has_speech[rows] |= evidence.usable[rows, middle]
        threshold = MAX_LEVEL
        if own:
            level = np.median(similarity[has_speech & (similarity > MIN_LEVEL)])
            threshold = np.clip(level / 2, MIN_LEVEL, MAX_LEVEL)
        score = np.where(has_speech, similarity - threshold, 0.0)
        return cls(evidence.first_frame + HALF_WINDOW, score, has_speech)


def _offset_of(chunk: Evidence, calibration: dict, min_probability: float) -> int | None:
    """The offset in hops of the windows in which a face fits the audio best; None: none is likely.

    Over all of a chunk in which it speaks little, chance would decide.
    """
    above_mean = chunk.above_mean()
    n_windows = min(BLOCK_FRAMES, len(above_mean))
    if not n_windows:
        return None
    sums = np.vstack([np.zeros(above_mean.shape[1]), above_mean.cumsum(0)])
    blocks = sums[n_windows:] - sums[:-n_windows]
    start, column = np.unravel_index(int(blocks.argmax()), blocks.shape)
    is_similar = blocks[:, column] > blocks[start, column] / 2
    rows = np.unique(np.flatnonzero(is_similar)[:, None] + np.arange(n_windows))
    curve = similarity_curve([Evidence(chunk.similarity[rows], chunk.usable[rows])])
    if (peak_probability(curve, calibration) or 0) < min_probability:
        return None
    return best_offset(curve)


def _turns(speakers: dict[int, _SpeakerEvidence]) -> list[Turn]:
    """The turns that explain the evidence best; each from its first word to its last."""
    first = min(speaker.first_frame for speaker in speakers.values())
    stop = max(speaker.first_frame + len(speaker.score) for speaker in speakers.values())
    score = np.full((stop - first, len(speakers) + 1), float(ABSENT))
    score[:, -1] = 0.0  # nobody
    has_speech = np.zeros(score.shape, bool)
    for column, speaker in enumerate(speakers.values()):
        rows = slice(speaker.first_frame - first, speaker.first_frame - first + len(speaker.score))
        score[rows, column], has_speech[rows, column] = speaker.score, speaker.has_speech
    path = _best_path(score)
    edges = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
    turns, numbers = [], list(speakers)
    for begin, end in pairwise(edges):
        column = path[begin]
        if column == len(speakers):
            continue
        is_cut = begin == 0 or end == len(path)
        min_windows = MIN_PART_WINDOWS if is_cut else MIN_TURN_WINDOWS
        if has_speech[begin:end, column].sum() < min_windows:
            continue
        # A window that does not fit is of the one who spoke before, or speaks next.
        spoken = first + begin + np.flatnonzero(score[begin:end, column] > 0)
        for word, stop in _runs(spoken):
            if ((spoken >= word) & (spoken < stop)).sum() >= MIN_PART_WINDOWS:
                turns.append(Turn(numbers[column], word, stop, Evidence.empty(0, 0, 0)))
    return turns


def _runs(frames: np.ndarray) -> list[tuple[int, int]]:
    """Frames that follow each other, with pauses that do not end a turn: (first, stop) each."""
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) > 2 * MARGIN_FRAMES)
    firsts, lasts = frames[np.r_[0, breaks + 1]], frames[np.r_[breaks, len(frames) - 1]]
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]


def _best_path(score: np.ndarray) -> np.ndarray:
    """The sequence of states with the largest sum of scores, less the cost of changes.

    Args:
        score: float [T, S].

    Returns:
        int [T].
    """
    total, previous = score[0].copy(), np.zeros(score.shape, int)
    stay = np.arange(score.shape[1])
    for row in range(1, len(score)):
        best = int(total.argmax())
        changes = total[best] - CHANGE_COST > total
        previous[row] = np.where(changes, best, stay)
        total = np.where(changes, total[best] - CHANGE_COST, total) + score[row]
    path = np.empty(len(score), int)
    path[-1] = total.argmax()
    for row in range(len(score) - 1, 0, -1):
        path[row - 1] = previous[row, path[row]]
    return path


def _with_margins(turns: list[Turn], tracks: dict[int, Evidence]) -> list[Turn]:
    """Turns that end in the pauses around them: halfway to the next one, or soon after the last
    word, while the face is visible."""
    begins = [
        max(tracks[turn.number].first_frame, turn.first_frame - MARGIN_FRAMES) for turn in turns
    ]
    ends = [
        min(tracks[turn.number].stop + WINDOW_FRAMES - 1, turn.stop + MARGIN_FRAMES)
        for turn in turns
    ]
    for index, (turn, following) in enumerate(pairwise(turns)):
        if ends[index] > begins[index + 1]:
            middle = (turn.stop + following.first_frame) // 2
            ends[index] = begins[index + 1] = middle
    return [
        replace(turn, first_frame=begin, stop=end)
        for turn, begin, end in zip(turns, begins, ends, strict=True)
    ]


def _part(evidence: Evidence, first_frame: int, stop: int) -> Evidence:
    """The windows whose middle frame is one of ``first_frame … stop − 1``."""
    shift = evidence.first_frame + HALF_WINDOW
    return evidence.part(max(0, first_frame - shift), max(0, stop - shift))
