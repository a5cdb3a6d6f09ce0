"""Frames -> the face tracks of each shot.

Faces are detected in the full frame, scaled down, every half second and whenever one was lost;
where the same one face is all there is, every second, and every four while nothing moves around
the person. In between, each is detected in a zoomed crop around its predicted box. Measured on 61
clips (3,076 frames, 8 sources) against the median of eight other zoomed crops, as the error of the
aligned crop's position in pixels of 96, median and 90th percentile over the clips:

    full frame at 320 px, in every frame               0.75  1.84
    full frame at 320 px, in every second frame        0.77  1.86
    zoomed crop (144 px, 1.8 boxes), in every frame    0.70  1.29
    zoomed crop, in every second frame                 0.72  1.48
    zoomed crop, in every third / fourth / fifth       0.76  1.72 / 0.90  1.87 / 1.01  2.27

A zoomed crop in every second frame (``data.detect_every``) is as good as the full frame in each,
at less than a seventh of the time. A face that keeps still is detected half as often
(``OpenTrack.is_steady``): on 179 clips of 28 people, K = 5, K = 15 and 1 s with every second frame
63.6, 92.0 and 97.8 %, with still faces in every fourth 63.5, 92.2 and 97.9; with every fourth
frame of all faces K = 15 falls by a point.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..core.config import DataConfig
from ..core.constants import WINDOW_FRAMES
from ..media.frame import VideoFrame
from .boxes import box_iou
from .detection import Detector, FaceDetection
from .search_schedule import SearchSchedule
from .shot_boundary import CutDetector
from .track import (
    CropSink,
    FaceTrack,
    OpenTrack,
    TrackedDetection,
    choose_tracks,
    compute_appearance,
)

# Frames one image may be repeated in any case: sources of 5 frames per second are read.
MIN_FROZEN_FRAMES = 5
# The face is 80 px large in a zoomed crop (the detector relies on that, see ``Detector.detect``).
ZOOM_SIZE = 144  # px: side of the crop …
ZOOM_BOXES = 1.8  # … and of the region of the frame it shows, in boxes

MAX_DISTANCE = 0.7  # widths between a face and its predicted box …
MAX_DISTANCE_PER_MISS = 0.05  # … and how much more for each frame it was missed
MAX_GROWTH = 0.5  # largest change of size, as a logarithm
# Distance, growth and dissimilarity together. Where two people crossed in composites of 31 real
# ones, the same face cost up to 0.90 in 99 % of the detections, the other one 1.03 and more. None
# of the three is enough: two frames later a face is similar to itself by 0.44 and more in 99 % of
# the detections in real clips, but so are 45 % of other people.
MAX_COST = 1.0
REPLACEMENT_RATIO = 2.0  # a face so many times larger replaces the smallest one tracked
SAME_FACE_IOU = 0.4  # overlap from which two detections are of one face


@dataclass
class TrackingStats:
    """Counts of a tracker.

    Attributes:
        n_frames: of the clip.
        n_searches, n_successes: frames in which faces were searched for, and in which one or more
            were detected.
        n_frozen: frames in which the same image was repeated for too long.
        n_tracks: tracks that were long enough.
        longest_track: frames of the longest track.
        max_rejected_width: width in pixels of the largest face that was too small, 0 if none was.
    """

    n_frames: int = 0
    n_searches: int = 0
    n_successes: int = 0
    n_frozen: int = 0
    n_tracks: int = 0
    longest_track: int = 0
    max_rejected_width: float = 0.0

    def __add__(self, other: "TrackingStats") -> "TrackingStats":
        return TrackingStats(
            self.n_frames + other.n_frames,
            self.n_searches + other.n_searches,
            self.n_successes + other.n_successes,
            self.n_frozen + other.n_frozen,
            self.n_tracks + other.n_tracks,
            max(self.longest_track, other.longest_track),
            max(self.max_rejected_width, other.max_rejected_width),
        )


class FaceTracker:
    """Tracks the faces of each shot, frame by frame, and chooses among them as ``data.track`` says.

    At most ``max_faces`` are tracked at once, the largest first. Boxes are interpolated between
    detections. A cut, or more than ``max_lost_frames`` frames without the face, ends a track; so
    does an image that is repeated for longer (``MIN_FROZEN_FRAMES`` at least), for it shows no
    one speaking.

    Args:
        detector: detects faces.
        settings: the ``data`` section.
        new_sink: makes the sink for a new track's crops.
        min_frames: frames a track must have.
        all_faces: choose all tracks.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DataConfig,
        new_sink: Callable[[], CropSink],
        min_frames: int = WINDOW_FRAMES,
        all_faces: bool = False,
    ):
        self._new_shot = lambda number, first_frame: _ShotTracker(
            detector, settings, new_sink, min_frames, number, first_frame
        )
        self._all_faces = all_faces
        self._cuts, self._shot, self._n_shots = CutDetector(), None, 0
        self._stats = TrackingStats()  # of the shots before, and of frames
        self._previous, self._n_repeats = None, 0
        self._max_repeats = max(settings.max_lost_frames, MIN_FROZEN_FRAMES)

    @property
    def stats(self) -> TrackingStats:
        """Counts up to now."""
        return self._stats + self._shot.stats if self._shot else self._stats

    def track(self, frames: Iterable[VideoFrame]) -> Iterator[FaceTrack]:
        """Track the faces of a clip; only a few frames are held at a time.

        Args:
            frames: the clip on the 25 fps grid.

        Yields:
            chosen tracks, in order of time within each shot; no two share a frame, unless all
            are chosen.
        """
        for frame in frames:
            yield from self.add_frame(frame)
        yield from self.finish()

    def add_frame(self, frame: VideoFrame) -> list[FaceTrack]:
        """Process the next frame; where it begins a shot, the chosen tracks of the previous one."""
        index, ended_tracks = self._stats.n_frames, []
        self._stats.n_frames += 1
        self._n_repeats = self._n_repeats + 1 if frame is self._previous else 0
        self._previous = frame
        is_frozen = self._n_repeats > self._max_repeats
        self._stats.n_frozen += is_frozen
        if not self._n_repeats and self._cuts.is_cut(frame):  # so is the first frame
            ended_tracks = self.finish()
            if self._shot:
                self._stats += self._shot.stats
            self._shot = self._new_shot(self._n_shots, index)
            self._n_shots += 1
        if is_frozen:
            self._shot.end_tracks()
        else:
            self._shot.add_frame(index, frame)
        return ended_tracks

    def finish(self) -> list[FaceTrack]:
        """End the current shot: its chosen tracks."""
        return self._shot.finish(self._all_faces) if self._shot else []

    def drop_ended_tracks(self) -> None:
        """Release the tracks of the current shot that have ended; they are not chosen later."""
        self._shot.drop_ended_tracks()


def scaled_frame(frame: VideoFrame, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """The frame with its longer side at most ``max_side`` pixels, uint8 [h, w, 3]; and full-frame
    pixels per pixel of it, float [2], x and y."""
    small = frame.small_bgr(max_side)
    return small, np.array([frame.width / small.shape[1], frame.height / small.shape[0]])


def relative_boxes(image: np.ndarray, faces: list[FaceDetection]) -> list[np.ndarray]:
    """The boxes of the faces of an image, as shares of its width and height."""
    height, width = image.shape[:2]
    return [face.box / (width, height, width, height) for face in faces]


def zoomed_crop(frame: VideoFrame, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square around a box, uint8 [ZOOM_SIZE, ZOOM_SIZE, 3]; full-frame pixels per pixel of it,
    float [2]; and the position of its first pixel in the full frame, float [2]."""
    scale = ZOOM_BOXES * max(*(box[2:] - box[:2]), 1.0) / ZOOM_SIZE
    corner = (box[:2] + box[2:]) / 2 - scale * (ZOOM_SIZE - 1) / 2
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    crop = frame.crop_square(matrix, ZOOM_SIZE, int(max(0, np.log2(scale))))
    return crop, np.array([scale, scale]), corner


def map_to_frame(
    frame: VideoFrame, face: FaceDetection, scale: np.ndarray, corner: np.ndarray
) -> TrackedDetection:
    """A face detected in a scaled or cropped image of the frame, in pixels of the full frame.

    Args:
        scale: full-frame pixels per pixel of the image, float [2].
        corner: position of the image's first pixel in the full frame, float [2].
    """
    box = (face.box.reshape(2, 2) * scale + corner).ravel().astype(np.float32)
    points = (face.points * scale + corner).astype(np.float32)
    return TrackedDetection(box, points, face.score, compute_appearance(frame, points))


class _ShotTracker:
    """Tracks the faces between two cuts.

    Attributes:
        stats: its counts, all but those of frames.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DataConfig,
        new_sink: Callable[[], CropSink],
        min_frames: int,
        number: int,
        first_frame: int,
    ):
        self.stats = TrackingStats()
        self._detector, self._settings = detector, settings
        self._min_frames, self._new_sink = min_frames, new_sink
        self._open: list[OpenTrack] = []
        self._ended: list[FaceTrack] = []
        self._number, self._first_frame = number, first_frame
        self._next_detection = first_frame
        self._searches = SearchSchedule(first_frame)
        self._skipped: list[tuple[int, VideoFrame]] = []  # since the last detection, by index
        self._last_frame, self._last_faces = None, []  # the last one with detection

    def add_frame(self, index: int, frame: VideoFrame) -> None:
        """Process the next frame of the shot."""
        if index < self._next_detection:
            self._skipped.append((index, frame))
            return
        faces = None
        if self._skips_many:
            faces = self._tracked_faces(index, frame)
            if not self._is_foreseen(index, faces):
                self._catch_up()
                faces = None
        self._search(index, frame, faces)
        self._next_detection = index + self._detection_interval(index)

    @property
    def _skips_many(self) -> bool:
        """Whether more frames were skipped than between detections of a face that moves."""
        return bool(self._open) and len(self._skipped) >= self._settings.detect_every

    def _is_foreseen(self, index: int, faces: list[TrackedDetection]) -> bool:
        """Whether all tracks go on in these faces of frame ``index``, evenly, and no other face has
        come."""
        return len(faces) == len(self._open) and all(
            face is not None and track.moves_evenly(index, face)
            for track, face in zip(self._open, assign(self._open, faces, index), strict=True)
        )

    def _catch_up(self) -> None:
        """Search for faces in the frames skipped, as often as if none had been steady."""
        skipped, self._skipped = self._skipped, []
        next_detection = skipped[0][0] + self._settings.detect_every - 1
        for index, frame in skipped:
            if index < next_detection:
                self._skipped.append((index, frame))
            else:
                self._search(index, frame)
                next_detection = index + self._detection_interval(index, may_skip=False)

    def _search(
        self, index: int, frame: VideoFrame, tracked_faces: list[TrackedDetection] | None = None
    ) -> None:
        """Process a frame in which faces are searched for, after those skipped before it.

        Args:
            tracked_faces: ``_tracked_faces`` of the frame, where they are known.
        """
        self._add_skipped()
        faces, assigned = self._detect(index, frame, tracked_faces)
        for track, face in list(zip(self._open, assigned, strict=True)):
            if face is not None:
                track.add_detection(index, frame, face)
                continue
            track.add_missed(frame)
            if track.n_missed > self._settings.max_lost_frames:
                self._end_track(track)
        assigned_ids = {id(face) for face in assigned if face is not None}
        self._start_tracks(index, frame, [face for face in faces if id(face) not in assigned_ids])

    def _add_skipped(self) -> None:
        for _, frame in self._skipped:
            for track in self._open:
                track.add_skipped(frame)
        self._skipped = []

    def _detection_interval(self, index: int, may_skip: bool = True) -> int:
        """Frames until faces are searched for again: twice the usual ones if there is none (a face
        is detected 0.1 s late at most) or, unless ``may_skip`` is false, one that is steady in a
        calm shot."""
        interval = self._settings.detect_every
        if any(track.n_missed for track in self._open):
            return 1
        if not self._open:
            return 2 * interval
        is_steady = len(self._open) == 1 and self._open[0].is_steady and self._searches.is_calm
        # The full frame is searched when it is due; and "every frame" is every one.
        may_skip &= interval > 1 and index + 2 * interval < self._searches.next_search + interval
        return 2 * interval if may_skip and is_steady else interval

    def _detect(
        self, index: int, frame: VideoFrame, tracked_faces: list[TrackedDetection] | None
    ) -> tuple[list[TrackedDetection], list[TrackedDetection | None]]:
        """The faces of a frame, and which of them continues each track: detected in zoomed crops
        of those that are tracked, and in the full frame when it is due or one was missed."""
        if frame is self._last_frame:  # a repeated image shows the same faces
            return self._last_faces, assign(self._open, self._last_faces, index)
        faces = self._tracked_faces(index, frame) if tracked_faces is None else tracked_faces
        assigned = assign(self._open, faces, index)
        if None in assigned or self._searches.is_due(index, frame) or not self._open:
            new_faces = _without(self._detect_full_frame(index, frame), faces)
            zoomed_faces = self._detect_zoomed(frame, [face.box for face in new_faces])
            if new_faces:
                not_zoomed = _without(new_faces, zoomed_faces)
                faces = _distinct([*faces, *zoomed_faces, *not_zoomed])
                assigned = assign(self._open, faces, index)
        self.stats.n_searches += 1
        self.stats.n_successes += bool(faces)
        self._last_frame, self._last_faces = frame, faces
        return faces, assigned

    def _tracked_faces(self, index: int, frame: VideoFrame) -> list[TrackedDetection]:
        """The faces of a frame that are detected around those tracked."""
        if frame is self._last_frame:
            return self._last_faces
        return self._detect_zoomed(frame, [track.predict_box(index) for track in self._open])

    def _detect_full_frame(self, index: int, frame: VideoFrame) -> list[TrackedDetection]:
        small, scale = scaled_frame(frame, self._settings.detection_size)
        (faces,) = self._detector.detect(small[None])
        self._searches.add(index, frame, relative_boxes(small, faces))
        return [map_to_frame(frame, face, scale, (scale - 1) / 2) for face in faces]

    def _detect_zoomed(self, frame: VideoFrame, boxes: list[np.ndarray]) -> list[TrackedDetection]:
        """Detect in a zoomed crop around each box."""
        if not boxes:
            return []
        crops, scales, corners = zip(*(zoomed_crop(frame, box) for box in boxes), strict=True)
        faces_by_crop = self._detector.detect(np.stack(crops), zoomed=True)
        by_distance = [
            (
                np.abs(face.centre - (ZOOM_SIZE - 1) / 2).max(),
                map_to_frame(frame, face, scale, corner),
            )
            for faces, scale, corner in zip(faces_by_crop, scales, corners, strict=True)
            for face in faces
        ]
        # A neighbour is truncated at the edge of a crop; in the middle of its own it is complete.
        return _distinct([face for _, face in sorted(by_distance, key=lambda pair: pair[0])])

    def _start_tracks(self, index: int, frame: VideoFrame, faces: list[TrackedDetection]) -> None:
        """Start tracks of faces that continue none, the largest first."""
        for face in sorted(faces, key=lambda detection: detection.area, reverse=True):
            if face.width < self._settings.min_face_size:
                self.stats.max_rejected_width = max(self.stats.max_rejected_width, face.width)
                continue
            if len(self._open) == self._settings.max_faces:
                smallest = min(self._open, key=lambda track: track.area)
                if face.area > REPLACEMENT_RATIO * smallest.area:
                    self._end_track(smallest)
            if len(self._open) < self._settings.max_faces:
                track = OpenTrack(index, self._settings, self._new_sink())
                track.add_detection(index, frame, face)
                self._open.append(track)

    def _end_track(self, open_track: OpenTrack) -> None:
        self._open.remove(open_track)
        track = open_track.finish()
        self.stats.longest_track = max(self.stats.longest_track, track.n_frames)
        if track.n_frames < self._min_frames:
            track.sink.discard()
        else:
            self.stats.n_tracks += 1
            self._ended.append(track)

    def drop_ended_tracks(self) -> None:
        """Release the tracks that have ended."""
        self._ended = []

    def end_tracks(self) -> None:
        """End all tracks."""
        if self._skips_many:
            self._catch_up()
        self._add_skipped()
        for track in list(self._open):
            self._end_track(track)

    def finish(self, all_faces: bool) -> list[FaceTrack]:
        """End the shot; all its tracks, or those that ``data.track`` chooses."""
        self.end_tracks()
        if all_faces:
            chosen = sorted(self._ended, key=lambda track: track.first_frame)
        else:
            chosen = choose_tracks(self._ended, self._settings.track, self._settings.min_frames)
        for track in self._ended:
            track.shot, track.shot_begin = self._number, self._first_frame
            if track not in chosen:
                track.sink.discard()
        return chosen


def _without(
    faces: list[TrackedDetection], known_faces: list[TrackedDetection]
) -> list[TrackedDetection]:
    """Faces that are none of the known ones."""
    return [
        face
        for face in faces
        if all(box_iou(face.box, known.box) < SAME_FACE_IOU for known in known_faces)
    ]


def _distinct(faces: list[TrackedDetection]) -> list[TrackedDetection]:
    """Of detections of one face, the first."""
    distinct: list[TrackedDetection] = []
    for face in faces:
        distinct += _without([face], distinct)
    return distinct


def assignment_costs(
    tracks: list[OpenTrack], faces: list[TrackedDetection], index: int
) -> np.ndarray:
    """Cost of motion for continuing each track with each face: float [tracks, faces].

    The distance of the face from its predicted box, in widths, plus the change of its size;
    infinite where either is too large.
    """
    costs = np.full((len(tracks), len(faces)), np.inf)
    for row, track in enumerate(tracks):
        max_distance = MAX_DISTANCE + MAX_DISTANCE_PER_MISS * track.n_missed
        for column, face in enumerate(faces):
            distance, growth = track.measure_motion(face, index)
            if distance <= max_distance and growth <= MAX_GROWTH:
                costs[row, column] = MAX_DISTANCE * distance / max_distance + growth
    return costs


def assign(
    tracks: list[OpenTrack], faces: list[TrackedDetection], index: int
) -> list[TrackedDetection | None]:
    """Which face continues which track, by the smallest sum of costs (Kuhn 1955).

    A cost is that of motion, plus the dissimilarity of the appearance where the assignment is
    ambiguous: where a track was lost, or another face is near. Elsewhere appearance is ignored,
    for people turn their heads.
    """
    costs = assignment_costs(tracks, faces, index)
    feasible = np.isfinite(costs)
    is_ambiguous = (feasible.sum(0) > 1).any() or (feasible.sum(1) > 1).any()
    pairs = np.argwhere(feasible)
    for row, column in pairs:
        track = tracks[row]
        if track.n_missed or feasible[row].sum() > 1 or feasible[:, column].sum() > 1:
            costs[row, column] += 1 - track.appearance_similarity(faces[column])
    # Ending a track costs no more than the worst face: two are not continued wrongly for the sake
    # of one more.
    costs = np.minimum(costs, MAX_COST)
    assigned: list[TrackedDetection | None] = [None] * len(tracks)
    if is_ambiguous:
        from scipy.optimize import linear_sum_assignment  # half a second to import

        pairs = zip(*linear_sum_assignment(costs), strict=True)
    for row, column in pairs:
        if costs[row, column] < MAX_COST:
            assigned[row] = faces[column]
    return assigned
