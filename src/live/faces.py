"""Video frames that arrive one by one -> the face tracks of the last seconds, and their evidence.

The processing is that of files (``preprocessing.extract``, ``embedding.embed_video``), except that
the brightness that is removed is that of the face so far. Embeddings are recomputed, a few at a
time, whenever the number of frames of the face has doubled.
"""

import numpy as np

from ..core.config import DataConfig
from ..core.constants import FPS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..faces.detection import Detector
from ..faces.tracker import FaceTracker
from ..media.frame import VideoFrame
from ..models.embedding import crop_moments, embed_video
from ..models.normalization import RunningLevels
from ..models.sync_model import SyncModel
from ..scoring.evidence import Evidence, compare
from .channels import LiveChannels

LEVEL_FRAMES = 60 * FPS  # frames of a face after which older ones fade from its levels
WINDOWS_PER_UPDATE = 25  # that are recomputed at a time


class LiveFaces:
    """The face tracks of the last seconds.

    Args:
        model: computes the embeddings.
        detector: detects the faces.
        settings: the ``data`` section.
        reach: the search range is ± this many hops of 10 ms.

    Attributes:
        tracks: those with frames in memory, or that may still grow, in order of time.
    """

    def __init__(self, model: SyncModel, detector: Detector, settings: DataConfig, reach: int):
        self._model, self._reach = model, reach
        self.tracks: list[LiveFaceTrack] = []
        self._tracker = FaceTracker(detector, settings, self._start_track, all_faces=True)

    def _start_track(self) -> "LiveFaceTrack":
        first_frame = self._tracker.stats.n_frames - 1
        track = LiveFaceTrack(self._model, first_frame, self._reach)
        self.tracks.append(track)
        return track

    def add_frame(self, frame: VideoFrame) -> None:
        """The next frame, at 25 fps."""
        self._tracker.add_frame(frame)
        self._tracker.drop_ended_tracks()

    def finish(self) -> None:
        """The video has ended."""
        self._tracker.finish()

    def drop_before(self, frame_index: int) -> None:
        """Drop what lies before this frame."""
        for track in self.tracks:
            track.drop_before(frame_index)
        self.tracks = [track for track in self.tracks if track.n_frames or not track.is_ended]

    def usable_tracks(self) -> list["LiveFaceTrack"]:
        """Tracks with frames in memory that are at least one window long."""
        return [
            track
            for track in self.tracks
            if track.n_frames and track.stop - track.first_frame >= WINDOW_FRAMES
        ]


class LiveFaceTrack:
    """The last seconds of one face track (a ``faces.track.CropSink``).

    Attributes:
        first_frame: in which the track begins.
        size: area times duration so far, pixels² · frames.
        is_ended: no more frames of it come.
    """

    def __init__(self, model: SyncModel, first_frame: int, reach: int):
        self._model, self.first_frame = model, first_frame
        self.size, self.is_ended = 0.0, False
        self._first_kept = first_frame  # the first frame in memory
        self._crops: list[np.ndarray] = []
        self._levels = RunningLevels(1, LEVEL_FRAMES)
        self._n_measured = 0  # crops in memory that are part of the levels
        # Of the windows in memory:
        self._embeddings = np.zeros((0, model.spec.output_dim), np.float32)
        self._similarity = np.zeros((0, 2 * reach + 1), np.float32)
        self._usable = np.zeros((0, 2 * reach + 1), bool)
        # Which of them have to be embedded or compared again:
        self._count_at_embedding = 0  # frames in the levels when all were last to be embedded
        self._outdated = (0, 0)  # first and stop of those embedded with old levels
        self._changed: list[tuple[int, int]] = []  # firsts and stops of those embedded since
        self._n_complete = 0  # windows that were compared with all audio that they need
        self._audio_version = (0, 0)

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        """One frame: uint8 [S, S] and float32 [4], x0 y0 x1 y1 in pixels."""
        self._crops.append(crop)
        self.size += float(np.prod(box[2:] - box[:2]))

    def close(self) -> None:
        """The track is complete."""
        self.is_ended = True

    def discard(self) -> None:
        """The track is not used."""
        self._crops, self.is_ended = [], True

    @property
    def stop(self) -> int:
        """The frame after its last."""
        return self._first_kept + len(self._crops)

    @property
    def n_frames(self) -> int:
        """Frames in memory."""
        return len(self._crops)

    def update_embeddings(self, recompute: bool = False) -> None:
        """Embed what is new, and some of what is outdated.

        Args:
            recompute: embed everything, outdated or not.
        """
        new = self._crops[self._n_measured :]
        if new:
            moments = crop_moments(self._model, np.stack(new))
            self._levels.add(*(values.cpu().numpy()[:, None] for values in moments))
            self._n_measured = len(self._crops)
        n_windows = len(self._crops) - WINDOW_FRAMES + 1
        if n_windows <= 0:
            return
        n_done = len(self._embeddings)
        if recompute or self._levels.count >= 2 * self._count_at_embedding:
            self._count_at_embedding, self._outdated = self._levels.count, (0, n_done)
        if n_windows > n_done:
            self._embeddings = np.concatenate([self._embeddings, self._embed(n_done, n_windows)])
        first, last = self._outdated
        if first < last:
            stop = last if recompute else min(last, first + WINDOWS_PER_UPDATE)
            self._embeddings[first:stop] = self._embed(first, stop)
            self._changed.append((first, stop))
            self._outdated = (stop, last)

    def _embed(self, first: int, stop: int) -> np.ndarray:
        """Embeddings of windows in memory, float32 [stop − first, D]."""
        crops = np.stack(self._crops[first : stop + WINDOW_FRAMES - 1])
        levels = self._levels.region_levels(self._model.log_scale.device)
        return embed_video(self._model, crops, levels)

    def compare(self, audio: LiveChannels, stop_frame: int) -> Evidence:
        """The windows in memory that end before a frame, compared with the audio."""
        n_windows, width = len(self._embeddings), self._similarity.shape[1]
        n_new, reach = n_windows - len(self._similarity), width // 2
        self._similarity = np.vstack([self._similarity, np.zeros((n_new, width), np.float32)])
        self._usable = np.vstack([self._usable, np.zeros((n_new, width), bool)])
        if audio.version != self._audio_version:
            self._audio_version, self._n_complete, self._changed = audio.version, 0, []
        for first, stop in (*self._changed, (self._n_complete, n_windows)):
            evidence = compare(
                self._embeddings[first:stop], audio.embeddings, audio.speech, reach,
                self._first_kept + first - audio.first_frame,
            )  # fmt: skip
            self._similarity[first:stop] = evidence.similarity
            self._usable[first:stop] = evidence.usable
        self._changed = []
        # Complete is a window for which the latest hop of the search range is embedded.
        stop_complete = -(-(audio.stop_hop - reach) // HOPS_PER_FRAME) - self._first_kept
        self._n_complete = min(max(stop_complete, 0), n_windows)
        n_ended = stop_frame - WINDOW_FRAMES + 1 - self._first_kept
        n_ended = max(0, min(n_windows, n_ended))
        return Evidence(self._similarity[:n_ended], self._usable[:n_ended], self._first_kept)

    def drop_before(self, frame_index: int) -> None:
        """Drop what lies before this frame."""
        n_dropped = min(frame_index, self.stop) - self._first_kept
        if n_dropped <= 0:
            return
        self._first_kept += n_dropped
        del self._crops[:n_dropped]
        self._n_measured = max(0, self._n_measured - n_dropped)
        self._embeddings = self._embeddings[n_dropped:].copy()
        self._similarity = self._similarity[n_dropped:].copy()
        self._usable = self._usable[n_dropped:].copy()
        self._n_complete = max(0, self._n_complete - n_dropped)
        self._outdated = tuple(max(0, window - n_dropped) for window in self._outdated)
