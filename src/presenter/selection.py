"""Which of the person's frames show the mouth that new speech needs.

Unit selection (Hunt & Black 1996; for video: Bregler et al., Video Rewrite, 1997) in the joint
space of the sync model: an output frame costs what its audio embedding lacks in similarity to the
video embedding of the frame chosen for it; consecutive footage frames follow each other free of
charge, and a join between two pieces of footage costs what the mouths on either side of it differ.
The cheapest sequence is found by dynamic programming over all footage frames; joins are tried
between the most promising ones.
"""

from dataclasses import dataclass

import numpy as np

MIN_PIECE = 3  # frames of footage that are shown in a row at least
N_SOURCES, N_TARGETS = 150, 250  # frames between which joins are tried, for each output frame
BLOCK, LOOK_AHEAD = 1500, 75  # output frames decided at a time, and looked at beyond
POSE_FREE = 2.0  # template units that a head may be turned differently without being seen
LOOK_FREE = 3.0  # levels of chroma that two shots may differ by without being seen
LUMA_FREE = 40.0  # likewise of luma: more is another light, with other shadows
_NEVER = np.float32(1e9)


@dataclass(frozen=True)
class SelectionWeights:
    """What counts how much; a cost of 1 is an embedding at a right angle to the audio's.

    Attributes:
        look: a level of Cr or Cb by which the mouth's colour differs from the base's by more than
            ``LOOK_FREE``: another lipstick, another light.
        luma: a level of luma by which it differs by more than ``LUMA_FREE``.
        pose: the square of the template units by which the head differs from the base's by more
            than ``POSE_FREE``.
        join: any join; ``join_distance``: in addition, a unit of ``FootageFrames.mouth``.
        closure: parted lips where the sound asks for shut ones.
        hold: showing a frame once more, where that is allowed.
        own: showing the base's own mouth of the moment.
    """

    look: float = 0.04
    luma: float = 0.02
    pose: float = 0.05
    join: float = 0.4
    join_distance: float = 0.02
    closure: float = 0.8
    hold: float = 0.05
    own: float = 1.0


@dataclass(frozen=True)
class FootageFrames:
    """The frames to choose from, ``N`` on the 25 fps grid.

    Attributes:
        embedding: float32 [N, D], of the video window around each, length 1.
        follows: bool [N], whether a frame is the one after its predecessor in the footage.
        pose: float32 [N, P], template units (``geometry.FaceShape.pose``).
        opening: float32 [N], template units.
        mouth: float32 [N, K], the look of the mouth; distances are compared.
        closed: bool [N], whether the lips are shut.
        look: float32 [N, 3], colour of the mouth in this shot: Cr, Cb and luma.
    """

    embedding: np.ndarray
    follows: np.ndarray
    pose: np.ndarray
    opening: np.ndarray
    mouth: np.ndarray
    closed: np.ndarray
    look: np.ndarray


@dataclass(frozen=True)
class SpeechFrames:
    """What is asked of ``T`` output frames on the 25 fps grid.

    Attributes:
        embedding: float32 [T, D], of the audio under the window around each, length 1; 0 where
            there is no speech.
        pose: float32 [T, P], of the base; NaN where it has no face.
        closed: bool [T], whether the lips must be shut (silence).
        closure: bool [T], whether they should be, for a sound (b, p, m).
        own: int [T, 2], first and last + 1 footage frame that shows the base's own mouth of that
            moment: it moves with the old speech; None: the base is not of the footage.
        look: float32 [T, 3], colour of the base's mouth; NaN where it has no face; None: it does
            not count.
    """

    embedding: np.ndarray
    pose: np.ndarray
    closed: np.ndarray
    closure: np.ndarray
    own: np.ndarray | None = None
    look: np.ndarray | None = None


def choose_frames(
    footage: FootageFrames, speech: SpeechFrames, weights: SelectionWeights | None = None
) -> np.ndarray:
    """The footage frame for each output frame.

    Args:
        footage: at least ``MIN_PIECE`` consecutive frames.
        speech: of the output.

    Returns:
        int64 [T], numbers of footage frames.
    """
    weights = weights or SelectionWeights()
    n_frames = len(speech.embedding)
    chosen = np.empty(n_frames, np.int64)
    state = None
    for first in range(0, n_frames, BLOCK):
        stop = min(first + BLOCK + LOOK_AHEAD, n_frames)
        search = _Search(footage, weights, state)
        for cost, may_hold in _frame_costs(footage, speech, weights, first, stop):
            search.step(cost, may_hold)
        path, ages = search.best_path()
        kept = min(BLOCK, stop - first)
        chosen[first : first + kept] = path[:kept]
        state = int(path[kept - 1]), int(ages[kept - 1])
    return chosen


def _frame_costs(footage, speech, weights, first, stop):
    """(cost of each footage frame, float32 [N], whether holding is allowed) by output frame; three
    rows ahead are needed for the choice of join targets, so rows come from a matrix of a chunk."""
    chunk = 250
    for start in range(first, stop, chunk):
        rows = slice(start, min(start + chunk, stop))
        cost = -(speech.embedding[rows] @ footage.embedding.T)
        cost += 1
        pose = np.nan_to_num(_pose_distance(speech.pose[rows], footage.pose))
        cost += weights.pose * np.maximum(pose - POSE_FREE, 0) ** 2
        if speech.look is not None:
            apart = np.nan_to_num(speech.look[rows][:, None] - footage.look)
            chroma, luma = np.linalg.norm(apart[..., :2], axis=2), np.abs(apart[..., 2])
            cost += weights.look * np.maximum(chroma - LOOK_FREE, 0)
            cost += weights.luma * np.maximum(luma - LUMA_FREE, 0)
        cost[speech.closure[rows]] += np.where(footage.closed, 0, weights.closure)
        must_close = speech.closed[rows]
        cost[must_close] += np.where(footage.closed, 0.1, 0.2) * footage.opening + ~footage.closed
        for number, (row, may_hold) in enumerate(zip(cost, must_close, strict=True)):
            if speech.own is not None:
                row[slice(*speech.own[start + number])] += weights.own
            yield row, bool(may_hold)


def _pose_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root of the mean squared distance of the pose points: [T, P], [N, P] -> [T, N]."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0) * (2 / first.shape[1]))


class _Search:
    """Dynamic programming over (footage frame, age of the piece: 1, 2, or 3 and more).

    Args:
        state: (frame, age) that comes before the first output frame; None: any.
    """

    def __init__(self, footage: FootageFrames, weights: SelectionWeights, state=None):
        self._footage, self._weights = footage, weights
        self._best: np.ndarray | None = None  # float32 [3, N], cost of the best path by age
        if state is not None:
            frame, age = state
            self._best = np.full((3, len(footage.mouth)), _NEVER, np.float32)
            self._best[age - 1, frame] = 0
        self._sources: list[np.ndarray] = []  # int32 [N] a step: where a new piece came from
        self._came: list[np.ndarray] = []  # uint8 [N] a step, of age 3: 2, 3 or 0 (held)
        self._mouth_norm = (footage.mouth**2).sum(1)

    def step(self, cost: np.ndarray, may_hold: bool) -> None:
        """Add an output frame; ``cost``: float32 [N] of the footage frames."""
        n_frames = len(cost)
        sources = np.full(n_frames, -1, np.int32)
        came = np.full(n_frames, 3, np.uint8)
        new = np.full((3, n_frames), _NEVER, np.float32)
        if self._best is None:
            new[0] = new[2] = cost  # the piece begins here, or began before
        else:
            follows = self._footage.follows[1:]
            best = self._best
            new[1, 1:] = np.where(follows, best[0, :-1], _NEVER) + cost[1:]
            older = np.minimum(best[1, :-1], best[2, :-1])
            came[1:] = np.where(best[1, :-1] < best[2, :-1], 2, 3)
            new[2, 1:] = np.where(follows, older, _NEVER) + cost[1:]
            if may_hold:
                held = best[2] + cost + self._weights.hold
                is_better = held < new[2]
                new[2] = np.where(is_better, held, new[2])
                came[is_better] = 0
            self._join(new, cost, sources)
        np.minimum(new, _NEVER, out=new)
        self._best = new
        self._sources.append(sources)
        self._came.append(came)

    def _join(self, new: np.ndarray, cost: np.ndarray, sources: np.ndarray) -> None:
        """Begin new pieces."""
        oldest = self._best[2]
        n_sources, n_targets = (min(n, len(cost)) for n in (N_SOURCES, N_TARGETS))
        from_frames = np.argpartition(oldest, n_sources - 1)[:n_sources]
        # A new piece is shown for three frames: its next two count, as far as they are known.
        to_frames = np.argpartition(self._ahead(cost), n_targets - 1)[:n_targets]
        price = oldest[from_frames, None] + self._join_costs(from_frames, to_frames)
        best = price.argmin(0)
        new[0, to_frames] = price[best, np.arange(n_targets)] + cost[to_frames]
        sources[to_frames] = from_frames[best]

    def _ahead(self, cost: np.ndarray) -> np.ndarray:
        """Cost of a piece that begins at each frame, if the next output frames were like this one:
        frames at the end of a run cannot begin one."""
        follows = self._footage.follows
        ahead = cost.copy()
        can_begin = np.zeros(len(cost), bool)
        can_begin[:-2] = follows[1:-1] & follows[2:]
        ahead[~can_begin] = _NEVER
        return ahead

    def _join_costs(self, from_frames: np.ndarray, to_frames: np.ndarray) -> np.ndarray:
        """float32 [F, T]: the frame that would have come compared with the one that comes."""
        mouth = self._footage.mouth
        following = np.minimum(from_frames + 1, len(mouth) - 1)
        following = np.where(self._footage.follows[following], following, from_frames)
        squares = (
            self._mouth_norm[following][:, None] + self._mouth_norm[to_frames]
            - 2 * mouth[following] @ mouth[to_frames].T
        )  # fmt: skip
        distance = np.sqrt(np.maximum(squares, 0))
        return self._weights.join + self._weights.join_distance * distance

    def best_path(self) -> tuple[np.ndarray, np.ndarray]:
        """Footage frame and age (1 … 3) for each output frame, int64 [T] each."""
        n_steps = len(self._came)
        path, ages = np.empty(n_steps, np.int64), np.empty(n_steps, np.int64)
        age, frame = divmod(int(np.argmin(self._best)), self._best.shape[1])
        for step in range(n_steps - 1, -1, -1):
            path[step], ages[step] = frame, age + 1
            if age == 0:
                frame, age = int(self._sources[step][frame]), 2
            elif age == 1:
                frame, age = frame - 1, 0
            else:
                came = int(self._came[step][frame])
                if came:
                    frame, age = frame - 1, came - 1
        return path, ages
