"""Pictures that come one by one -> the followed faces of the last seconds, and their evidence.

What is done is what ``clip_features`` and ``embedding.embed_video`` do with a file, but the
brightness that is removed is that of the face so far. Embeddings are made anew, a few at a time,
whenever twice as much of the face has been seen.
"""

import numpy as np
import torch

from ..core.config import DataConfig
from ..core.constants import FPS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..faces.detection import Detector
from ..faces.tracker import FaceTracker, TrackingStats
from ..media.frame import VideoFrame
from ..models.embedding import embed_crops, levels
from ..models.sync_model import SyncModel
from ..scoring.evidence import Evidence, compare
from .audio import LiveSound
from .running_mean import RunningMean

LEVEL_FRAMES = 60 * FPS  # frames after which the mean brightness forgets
RENEWED = 25  # windows that are embedded anew at a time


class LiveFaces:
    """The faces followed through the last seconds.

    Args:
        model: embeds them.
        detector: finds them.
        settings: the ``data`` section.
        reach: largest offset looked at, in steps of 10 ms.

    Attributes:
        faces: those of which something is held, in order of time.
    """

    def __init__(self, model: SyncModel, detector: Detector, settings: DataConfig, reach: int):
        self._model, self._reach = model, reach
        self.faces: list[LiveFace] = []
        self._count = TrackingStats()
        self._follower = FaceTracker(
            detector, settings, WINDOW_FRAMES, self._new_face, self._count, everyone=True
        )

    def _new_face(self) -> "LiveFace":
        face = LiveFace(self._model, self._count.frames - 1, self._reach)
        self.faces.append(face)
        return face

    def show(self, picture: VideoFrame) -> None:
        """The next picture of the 25 fps grid."""
        self._follower.show(picture)
        self._follower.forget_ended()

    def end(self) -> None:
        """No more pictures."""
        self._follower.end()

    def forget(self, frame: int) -> None:
        """What is before this frame is not needed any more."""
        for face in self.faces:
            face.forget(frame)
        self.faces = [face for face in self.faces if face.held or not face.ended]

    @property
    def seen(self) -> list["LiveFace"]:
        """Faces of which something is held and that were seen for a window at least."""
        return [
            face
            for face in self.faces
            if face.held and face.stop - face.first_frame >= WINDOW_FRAMES
        ]


class LiveFace:
    """The last seconds of one face (a ``tracks.CropSink``).

    Attributes:
        first_frame: in which it appeared.
        size: area times duration so far, pixels² · frames.
        ended: no more frames of it come.
    """

    def __init__(self, model: SyncModel, first_frame: int, reach: int):
        self._model, self.first_frame = model, first_frame
        self.size, self.ended = 0.0, False
        self._begin = first_frame  # the first frame that is held
        self._crops: list[np.ndarray] = []
        self._levels, self._counted = RunningMean(2, LEVEL_FRAMES), 0
        self._windows = np.zeros((0, model.size.length), np.float32)
        self._renewed_with = 0  # frames of which the level was known
        self._stale = (0, 0)  # windows that are to be embedded anew
        self._similarity = np.zeros((0, 2 * reach + 1), np.float32)
        self._usable = np.zeros((0, 2 * reach + 1), bool)
        self._complete = 0  # windows with which all the sound has been compared
        self._changed: list[tuple[int, int]] = []  # windows to be compared anew
        self._heard = 0  # version of the sound

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        self._crops.append(crop)
        self.size += float(np.prod(box[2:] - box[:2]))

    def close(self) -> None:
        self.ended = True

    def discard(self) -> None:
        self._crops, self.ended = [], True

    @property
    def stop(self) -> int:
        """The frame after its last."""
        return self._begin + len(self._crops)

    @property
    def held(self) -> int:
        """Frames in memory."""
        return len(self._crops)

    def embed(self, anew: bool = False) -> None:
        """Bring the embeddings up to date.

        Args:
            anew: make all of them, whether they seem out of date or not.
        """
        new = self._crops[self._counted :]
        if new:
            seen = [column.cpu().numpy() for column in levels(self._model, np.stack(new))]
            self._levels.add(np.stack(seen, 1))
            self._counted = len(self._crops)
        windows = len(self._crops) - WINDOW_FRAMES + 1
        if windows <= 0:
            return
        done = len(self._windows)
        if anew or self._levels.count >= 2 * self._renewed_with:
            self._renewed_with, self._stale = self._levels.count, (0, done)
        if windows > done:
            self._windows = np.concatenate([self._windows, self._embedded(done, windows)])
        first, last = self._stale
        if first < last:
            stop = last if anew else min(last, first + RENEWED)
            self._windows[first:stop] = self._embedded(first, stop)
            self._changed.append((first, stop))
            self._stale = (stop, last)

    def _embedded(self, first: int, stop: int) -> np.ndarray:
        crops = np.stack(self._crops[first : stop + WINDOW_FRAMES - 1])
        mean, square = torch.from_numpy(self._levels.mean).float().to(self._model.log_scale.device)
        return embed_crops(self._model, crops, mean, square)

    def evidence(self, sound: LiveSound, stop: int) -> Evidence:
        """Its windows, as far as they are held and end before frame ``stop``, against the sound."""
        windows, width = len(self._windows), self._similarity.shape[1]
        more = windows - len(self._similarity)
        self._similarity = np.vstack([self._similarity, np.zeros((more, width), np.float32)])
        self._usable = np.vstack([self._usable, np.zeros((more, width), bool)])
        if sound.version != self._heard:
            self._heard, self._complete, self._changed = sound.version, 0, []
        for first, last in (*self._changed, (self._complete, windows)):
            found = compare(
                self._windows[first:last], sound.rows, sound.speech, width // 2,
                self._begin + first - sound.first_frame,
            )  # fmt: skip
            self._similarity[first:last], self._usable[first:last] = found.similarity, found.usable
        self._changed = []
        # The step that the earliest offset asks for is there.
        heard = -(-(sound.stop_step - width // 2) // HOPS_PER_FRAME) - self._begin
        self._complete = min(max(heard, 0), windows)
        shown = max(0, min(windows, stop - WINDOW_FRAMES + 1 - self._begin))
        return Evidence(self._similarity[:shown], self._usable[:shown], self._begin)

    def forget(self, frame: int) -> None:
        """What is before this frame is not needed any more."""
        count = min(frame, self.stop) - self._begin
        if count <= 0:
            return
        self._begin += count
        del self._crops[:count]
        self._counted = max(0, self._counted - count)
        self._windows = self._windows[count:].copy()
        self._similarity = self._similarity[count:].copy()
        self._usable = self._usable[count:].copy()
        self._complete = max(0, self._complete - count)
        self._stale = tuple(max(0, place - count) for place in self._stale)
