"""Chosen footage frames -> the mouth at any time, morphed over the joins."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..core.constants import FPS
from .close_lips import LipCloser
from .compose import Mouth
from .footage import Footage, FrameRows
from .morph import morph
from .reshape import Reshaper
from .store import Presenter

MORPH_FRAMES = 2.0  # frames on either side of a join over which the mouths are morphed
CACHED_MORPHS = 4


@dataclass(frozen=True)
class Piece:
    """Footage shown in a row.

    Attributes:
        first, stop: output frames on the 25 fps grid.
        source: number of the first footage frame.
        rate: 1: it is played; 0: one frame is held.
    """

    first: int
    stop: int
    source: int
    rate: int

    def position(self, frame: float) -> float:
        """The footage frame under an output frame, also a little before and after the piece."""
        return self.source + self.rate * (frame - self.first)


def find_pieces(chosen: np.ndarray, follows: np.ndarray) -> list[Piece]:
    """Divide chosen frames into pieces.

    Args:
        chosen: int64 [T], numbers of footage frames.
        follows: bool [N], of the footage.
    """
    pieces: list[Piece] = []
    first = 0
    for frame in range(1, len(chosen) + 1):
        if frame < len(chosen):
            step = int(chosen[frame] - chosen[frame - 1])
            goes_on = step == 0 or (step == 1 and follows[chosen[frame]])
            rate = int(chosen[first + 1] - chosen[first]) if frame - first > 1 else step
            if goes_on and step == rate:
                continue
        rate = 1
        if frame - first > 1:
            rate = int(chosen[first + 1] - chosen[first])
        pieces.append(Piece(first, frame, int(chosen[first]), rate))
        first = frame
    return pieces


def count_joins(pieces: list[Piece], follows: np.ndarray) -> int:
    """Pieces that do not go on where the one before ended."""
    return sum(not _is_continuous(*pair, follows) for pair in pairwise(pieces))


def _is_continuous(before: Piece, after: Piece, follows: np.ndarray) -> bool:
    last = before.source + before.rate * (before.stop - 1 - before.first)
    step = after.source - last
    return step == 0 or (step == 1 and bool(follows[after.source]))


class MouthTrack:
    """The mouth of a presenter over time.

    Args:
        presenter: whose crops are shown.
        footage: its frames.
        chosen: int64 [T], the footage frame for each output frame on the 25 fps grid.
        reshaper: warps the mouths into the shapes of the speech; None: they stay as they are.
        closer: shuts the lips where the speech asks for it; None: nothing does.
    """

    def __init__(
        self, presenter: Presenter, footage: Footage, chosen: np.ndarray,
        reshaper: Reshaper | None = None, closer: LipCloser | None = None,
    ):  # fmt: skip
        self._reshaper, self._closer = reshaper, closer
        self._presenter, self._footage = presenter, footage
        self._follows = footage.frames.follows
        self._n_frames = len(chosen)
        self.pieces = find_pieces(chosen, self._follows)
        self._firsts = np.array([piece.first for piece in self.pieces])
        self._rows = FrameRows(presenter)
        self._morphed = lru_cache(CACHED_MORPHS)(self._morph)

    def at(self, time_s: float) -> Mouth:
        """The mouth at a time in seconds after the beginning of the speech."""
        frame = min(max(time_s * FPS, 0.0), self._n_frames - 1.0)
        mouth = self._chosen(frame)
        if self._reshaper is not None:
            mouth = self._reshaper.reshape(mouth, frame)
        return mouth if self._closer is None else self._closer.close(mouth, frame)

    def _chosen(self, frame: float) -> Mouth:
        """The mouth as the footage shows it, morphed at the joins."""
        number = int(np.searchsorted(self._firsts, frame + 0.5, side="right")) - 1
        piece = self.pieces[max(number, 0)]
        source = self._row(piece, frame)
        # Joins lie between two frames of the grid. In a short piece, two morphs share its length.
        since, until = frame - (piece.first - 0.5), (piece.stop - 0.5) - frame
        reach = min(MORPH_FRAMES, (piece.stop - piece.first) / 2)
        if since <= until and since < reach and number > 0:
            before = self.pieces[number - 1]
            if not _is_continuous(before, piece, self._follows):
                weight = 0.5 + 0.5 * since / reach
                return self._morphed(self._row(before, frame), source, weight)
        elif until < reach and number + 1 < len(self.pieces):
            after = self.pieces[number + 1]
            if not _is_continuous(piece, after, self._follows):
                weight = 0.5 - 0.5 * until / reach
                return self._morphed(source, self._row(after, frame), weight)
        return self._mouth(source)

    def _row(self, piece: Piece, frame: float) -> tuple[int, int]:
        """(clip, row of its frames) that a piece shows at an output frame; at the end of its run,
        the last one."""
        footage = self._footage
        clip, run = int(footage.clip[piece.source]), int(footage.run[piece.source])
        time_s = footage.time[piece.source] + (piece.position(frame) - piece.source) / FPS
        return clip, self._rows.nearest(clip, run, time_s)

    def _mouth(self, row: tuple[int, int]) -> Mouth:
        clip = self._presenter.clips[row[0]]
        frame = clip.frames[row[1]]
        return Mouth(np.asarray(clip.crops[row[1]]), frame["jaw"], frame["lips"])

    def _morph(self, first: tuple[int, int], second: tuple[int, int], weight: float) -> Mouth:
        return morph(self._mouth(first), self._mouth(second), weight)
