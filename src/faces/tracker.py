"""Pictures -> the faces followed through each shot.

Faces are looked for in the whole picture, scaled down, every half second and whenever one was
lost; in between, each is looked for in a close-up around the place where it is expected. Measured
on 61 clips (3,076 frames, 8 sources) against the median of eight other close-ups, as the error of
the crop's place in pixels of 96, median and 90th percentile over the clips:

    whole picture at 320 px, on every frame          0.75  1.84
    whole picture at 320 px, on every second         0.77  1.86
    close-up (144 px, 1.8 boxes), on every frame     0.70  1.29
    close-up, on every second                        0.72  1.48
    close-up, on every third / fourth / fifth        0.76  1.72 / 0.90  1.87 / 1.01  2.27

A close-up on every second frame (``data.detect_every``) is as good as the whole picture on each,
at less than a seventh of the time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..core.config import DataConfig
from ..media.frame import VideoFrame
from .alignment import overlap
from .detection import Detector, FaceDetection
from .shot_boundary import CutDetector
from .track import CropSink, FaceTrack, OpenTrack, TrackedDetection, appearance_of, choose_tracks

SEARCH_EVERY = 12  # frames between two looks at the whole picture
SLOWEST = 5  # frames a picture may stand in any case: sources of 5 pictures a second are read
# The face is 80 px large in it (the detector relies on that, see ``Detector.detect``).
CLOSE_UP = 144  # px: side of the picture of one face …
CLOSE_UP_BOXES = 1.8  # … and of what it shows, in boxes

MAX_STEP = 0.7  # widths a face may be from where it is expected …
MAX_STEP_LOST = 0.05  # … and how much more for each frame it was lost
MAX_GROWTH = 0.5  # largest change of size, as a logarithm
# Step, growth and unlikeness together. Where two people crossed in composites of 31 real ones, the
# face itself cost up to 0.90 in 99 % of the looks, the other one 1.03 and more. None of the three
# is enough: two frames later a face is like itself by 0.44 and more in 99 % of the looks at real
# clips, but so are 45 % of strangers.
MAX_COST = 1.0
ROOM = 2.0  # a face so many times larger than the smallest that is followed takes its place
SAME = 0.4  # overlap over which two detections are of one face


@dataclass
class TrackingStats:
    """What was met while faces were followed.

    Attributes:
        frames: of the clip.
        looked, found: how often a face was looked for, and one or more found.
        standing: frames in which the same picture stood for too long.
        faces: tracks that were long enough.
        longest: frames of the longest track.
        widest_small: width in pixels of the largest face that was too small, 0 if none was.
    """

    frames: int = 0
    looked: int = 0
    found: int = 0
    standing: int = 0
    faces: int = 0
    longest: int = 0
    widest_small: float = 0.0


def track_faces(
    pictures: Iterable[VideoFrame],
    detector: Detector,
    settings: DataConfig,
    shortest: int,
    new_sink: Callable[[], CropSink],
    count: TrackingStats,
    everyone: bool = False,
) -> Iterator[FaceTrack]:
    """Follow the faces of each shot and choose among them as ``data.track`` says.

    See ``FaceTracker``. Only a few pictures are held at a time.

    Args:
        pictures: the clip on the 25 fps grid.
        detector: finds faces.
        settings: the ``data`` section.
        shortest: frames a track must have.
        new_sink: makes the place where a new track's crops go.
        count: filled with what was met.
        everyone: choose all of them.

    Yields:
        chosen tracks, in order of time within each shot; no two share a frame, unless everyone
        is chosen.
    """
    follower = FaceTracker(detector, settings, shortest, new_sink, count, everyone)
    for picture in pictures:
        yield from follower.show(picture)
    yield from follower.end()


class FaceTracker:
    """Follows the faces of each shot, picture by picture.

    At most ``max_faces`` are followed at once, the largest first. Places are interpolated between
    looks. A cut, or more than ``max_lost_frames`` pictures without the face, ends a track; so
    does a picture that stands for longer (than ``SLOWEST`` at least), for it shows nobody
    speaking.

    Args:
        as for ``track_faces``.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DataConfig,
        shortest: int,
        new_sink: Callable[[], CropSink],
        count: TrackingStats,
        everyone: bool = False,
    ):
        self._new_shot = lambda index: _ShotTracker(
            index, detector, settings, shortest, new_sink, count
        )
        self._count, self._everyone, self._index = count, everyone, 0
        self._cuts, self._shot, self._shots = CutDetector(), None, 0
        self._last, self._standing = None, 0
        self._longest_still = max(settings.max_lost_frames, SLOWEST)

    def show(self, picture: VideoFrame) -> list[FaceTrack]:
        """The next picture; where it begins a shot, the chosen tracks of the one before."""
        index, ended = self._index, []
        self._index += 1
        self._count.frames += 1
        self._standing = self._standing + 1 if picture is self._last else 0
        self._last = picture
        frozen = self._standing > self._longest_still
        self._count.standing += frozen
        if not self._standing and self._cuts.is_cut(picture):  # so is the first picture
            ended = self.end()
            self._shots += self._shot is not None
            self._shot = self._new_shot(index)
        if frozen:
            self._shot.end_tracks()
        else:
            self._shot.show(index, picture)
        return ended

    def end(self) -> list[FaceTrack]:
        """No more pictures of this shot: its chosen tracks."""
        return self._shot.chosen(self._shots, self._everyone) if self._shot else []

    def forget_ended(self) -> None:
        """Tracks of this shot that have ended are no longer chosen among, nor held."""
        self._shot.forget_ended()


def reduced(picture: VideoFrame, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture with its longer side at most ``longest``, and pixels of the full picture to one
    of it, in x and y."""
    small = picture.small_bgr(longest)
    return small, np.array([picture.width / small.shape[1], picture.height / small.shape[0]])


def close_up(picture: VideoFrame, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square around a box, uint8 [CLOSE_UP, CLOSE_UP, 3]; and where in the full picture its
    pixels are: pixels to one of it, place of its first."""
    step = CLOSE_UP_BOXES * max(*(box[2:] - box[:2]), 1.0) / CLOSE_UP
    corner = (box[:2] + box[2:]) / 2 - step * (CLOSE_UP - 1) / 2
    matrix = np.array([[step, 0, corner[0]], [0, step, corner[1]]])
    shown = picture.cut_out(matrix, CLOSE_UP, int(max(0, np.log2(step))))
    return shown, np.array([step, step]), corner


def sight(
    picture: VideoFrame, face: FaceDetection, scale: np.ndarray, corner: np.ndarray
) -> TrackedDetection:
    """A face found in a view of the picture, in pixels of the full picture."""
    box = (face.box.reshape(2, 2) * scale + corner).ravel().astype(np.float32)
    points = (face.points * scale + corner).astype(np.float32)
    return TrackedDetection(box, points, face.score, appearance_of(picture, points))


class _ShotTracker:
    """The faces between two cuts."""

    def __init__(self, first_frame: int, detector, settings: DataConfig, shortest, new_sink, count):
        self._detector, self._settings = detector, settings
        self._shortest, self._new_sink, self._count = shortest, new_sink, count
        self._open: list[OpenTrack] = []
        self._ended: list[FaceTrack] = []
        self._first_frame = first_frame
        self._next_look = self._next_search = first_frame
        self._looked_at, self._faces = None, []

    def show(self, index: int, picture: VideoFrame) -> None:
        """The next picture of the shot."""
        if index < self._next_look:
            for track in self._open:
                track.wait(picture)
            return
        faces, assigned = self._look(index, picture)
        for track, face in list(zip(self._open, assigned, strict=True)):
            if face is not None:
                track.add(index, picture, face)
                continue
            track.lose(picture)
            if track.lost > self._settings.max_lost_frames:
                self._end(track)
        taken = {id(face) for face in assigned if face is not None}
        self._begin(index, picture, [face for face in faces if id(face) not in taken])
        if any(track.lost for track in self._open):
            self._next_look = index + 1
        else:
            # An empty picture is looked at half as often: a face is found 0.1 s late at most.
            pause = self._settings.detect_every * (1 if self._open else 2)
            self._next_look = index + pause

    def _look(
        self, index: int, picture: VideoFrame
    ) -> tuple[list[TrackedDetection], list[TrackedDetection | None]]:
        """The faces of a picture, and which of them continues each track: close-ups of those that
        are followed, and the whole picture when it is time or one of them is not there."""
        if picture is self._looked_at:  # a picture that stands shows the same faces
            return self._faces, assign(self._open, self._faces, index)
        faces = self._close_ups(picture, [track.expected(index) for track in self._open])
        assigned = assign(self._open, faces, index)
        if None in assigned or index >= self._next_search or not self._open:
            self._next_search = index + SEARCH_EVERY
            seen = self._whole(picture)
            new = [one for one in seen if all(overlap(one.box, f.box) < SAME for f in faces)]
            closer = self._close_ups(picture, [face.box for face in new])
            far = [one for one in new if all(overlap(one.box, f.box) < SAME for f in closer)]
            if new:
                faces = _distinct([*faces, *closer, *far])
                assigned = assign(self._open, faces, index)
        self._count.looked += 1
        self._count.found += bool(faces)
        self._looked_at, self._faces = picture, faces
        return faces, assigned

    def _whole(self, picture: VideoFrame) -> list[TrackedDetection]:
        small, scale = reduced(picture, self._settings.detection_size)
        (faces,) = self._detector.detect(small[None])
        return [sight(picture, face, scale, (scale - 1) / 2) for face in faces]

    def _close_ups(self, picture: VideoFrame, boxes: list[np.ndarray]) -> list[TrackedDetection]:
        if not boxes:
            return []
        pictures, scales, corners = zip(*(close_up(picture, box) for box in boxes), strict=True)
        found = self._detector.detect(np.stack(pictures), close=True)
        seen = [
            (
                np.abs(face.middle - (CLOSE_UP - 1) / 2).max(),
                sight(picture, face, scale, corner),
            )
            for faces, scale, corner in zip(found, scales, corners, strict=True)
            for face in faces
        ]
        # A neighbour is cut off at the edge of a close-up; in the middle of its own it is whole.
        return _distinct([face for _, face in sorted(seen, key=lambda pair: pair[0])])

    def _begin(self, index: int, picture: VideoFrame, faces: list[TrackedDetection]) -> None:
        """Follow faces that nobody follows yet, the largest first."""
        least = self._settings.min_face_size
        for face in sorted(faces, key=lambda found: found.area, reverse=True):
            if face.width < least:
                self._count.widest_small = max(self._count.widest_small, face.width)
                continue
            if len(self._open) == self._settings.max_faces:
                smallest = min(self._open, key=lambda track: track.area)
                if face.area > ROOM * smallest.area:
                    self._end(smallest)
            if len(self._open) < self._settings.max_faces:
                track = OpenTrack(index, self._settings, self._new_sink())
                track.add(index, picture, face)
                self._open.append(track)

    def _end(self, track: "OpenTrack") -> None:
        self._open.remove(track)
        ended = track.finish()
        self._count.longest = max(self._count.longest, ended.n_frames)
        if ended.n_frames < self._shortest:
            ended.sink.discard()
        else:
            self._count.faces += 1
            self._ended.append(ended)

    def forget_ended(self) -> None:
        """Tracks that have ended are not kept."""
        self._ended = []

    def end_tracks(self) -> None:
        """Nobody is followed any further."""
        for track in list(self._open):
            self._end(track)

    def chosen(self, number: int, everyone: bool) -> list[FaceTrack]:
        """End the shot, the number of which is given; all its tracks, or those that
        ``data.track`` chooses."""
        self.end_tracks()
        if everyone:
            best = sorted(self._ended, key=lambda track: track.first_frame)
        else:
            best = choose_tracks(self._ended, self._settings.track, self._settings.min_frames)
        for track in self._ended:
            track.shot, track.shot_begin = number, self._first_frame
            if track not in best:
                track.sink.discard()
        return best


def _distinct(faces: list[TrackedDetection]) -> list[TrackedDetection]:
    """Of those that are one face, the first."""
    kept: list[TrackedDetection] = []
    for face in faces:
        if all(overlap(face.box, other.box) < SAME for other in kept):
            kept.append(face)
    return kept


def assignment_costs(
    tracks: list[OpenTrack], faces: list[TrackedDetection], index: int
) -> np.ndarray:
    """What it takes to continue each track with each face: float [tracks, faces].

    How far the face is from where it is expected, in widths, plus the change of its size;
    infinite where one of them is out of the question.
    """
    effort = np.full((len(tracks), len(faces)), np.inf)
    for row, track in enumerate(tracks):
        reach = MAX_STEP + MAX_STEP_LOST * track.lost
        for column, face in enumerate(faces):
            step, growth = track.distance(face, index)
            if step <= reach and growth <= MAX_GROWTH:
                effort[row, column] = MAX_STEP * step / reach + growth
    return effort


def assign(
    tracks: list[OpenTrack], faces: list[TrackedDetection], index: int
) -> list[TrackedDetection | None]:
    """Which face continues which track, by the least sum of costs (Kuhn 1955).

    A cost is the effort, plus how unlike the face looks where there is a doubt: where a track was
    lost, or somebody else is near. Without one it counts for nothing, for people turn their heads.
    """
    from scipy.optimize import linear_sum_assignment

    cost = assignment_costs(tracks, faces, index)
    near = np.isfinite(cost)
    for row, column in np.argwhere(near):
        track = tracks[row]
        if track.lost or near[row].sum() > 1 or near[:, column].sum() > 1:
            cost[row, column] += 1 - track.likeness(faces[column])
    # A track that ends costs no more than the worst face: two are not continued wrongly for the
    # sake of one more.
    cost = np.minimum(cost, MAX_COST)
    found: list[TrackedDetection | None] = [None] * len(tracks)
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[row, column] < MAX_COST:
            found[row] = faces[column]
    return found
