"""A clip -> a copy of it as another camera, device or app would have recorded or sent it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from zlib import crc32

import av
import numpy as np

from ..core.config import DataConfig
from ..core.constants import FPS
from ..core.errors import LipSyncError, UnreadableMediaError
from ..core.files import ensure_folder, written_atomically
from ..faces.detection import LARGER_DETECTION, Detector, make_detector
from ..i18n.messages import tr
from ..media.reader import read_audio, read_frames
from .audio_effects import babble, change_audio
from .catalog import draw_condition
from .codecs import NEARLY_LOSSLESS, draw_video_coding, write_degraded
from .video_effects import FaceBox, TimedFrame, cap_face_width

FACE_INTERVAL, LAST_FACE_FRAME = 12, 20 * FPS  # in every 12th frame the face is looked for
DETECTION_SIDES = (320, LARGER_DETECTION)  # in larger frames where there is none in small ones
SUFFIX = ".mkv"


@dataclass(frozen=True)
class DegradeJob:
    """One copy to make.

    Attributes:
        video: the clip.
        audio: its audio file, or None: its own audio.
        target: the file to write.
        condition: of ``catalog.NAMES``.
        babble: other clips whose voices may be in the background.
    """

    video: Path
    audio: Path | None
    target: Path
    condition: str
    babble: tuple[Path, ...] = ()


def degrade_clip(seed: int, job: DegradeJob) -> str:
    """Write the copy; where it exists, nothing is done.

    Args:
        seed: with it, the clip's name and the condition, everything random is drawn.

    Returns:
        why it could not be made, or "".
    """
    if job.target.exists():
        return ""
    rng = np.random.default_rng(
        [seed, crc32(job.target.name.encode()), crc32(job.condition.encode())]
    )
    try:
        ensure_folder(job.target.parent)
        _write(job, rng)
    except LipSyncError as error:
        return str(error)
    except av.error.FFmpegError as error:
        return tr("cannot write {path}: {why}", path=job.target, why=error)
    return ""


def _write(job: DegradeJob, rng: np.random.Generator) -> None:
    condition = draw_condition(job.condition, rng)
    samples = read_audio(job.audio or job.video)
    others = [_voice(path) for path in job.babble] if babble in condition.audio else []
    samples = change_audio(samples, condition.audio, rng, others)
    face = find_face(job.video)
    frames = cap_face_width(_timed(job.video), rng, face)
    for effect in condition.video:
        frames = effect(frames, rng, face)
    coding = draw_video_coding(rng) if condition.is_coded else NEARLY_LOSSLESS
    with written_atomically(job.target) as temporary:
        write_degraded(temporary, frames, coding, samples)


def _timed(video: Path) -> Iterator[TimedFrame]:
    for index, frame in enumerate(read_frames(video)):
        bgr = frame.bgr
        height, width = (side - side % 2 for side in bgr.shape[:2])
        yield TimedFrame(index / FPS, bgr[:height, :width])


@lru_cache(maxsize=64)
def _voice(path: Path) -> np.ndarray:
    return read_audio(path)


@cache
def _detector() -> Detector:
    return make_detector(DataConfig())


def find_face(video: Path) -> FaceBox:
    """Where the largest face is in the first frames that show one.

    Raises:
        UnreadableMediaError: there is none.
    """
    detector = _detector()
    for side in DETECTION_SIDES:
        for index, frame in enumerate(read_frames(video)):
            if index > LAST_FACE_FRAME:
                break
            if not index % FACE_INTERVAL:
                image = frame.small_bgr(side)
                faces = detector.detect(image[None])[0]
                if faces:
                    largest = max(faces, key=lambda face: face.area)
                    height, width = image.shape[:2]
                    x, y = largest.centre
                    return FaceBox(x / width, y / height, largest.width / width)
    raise UnreadableMediaError(tr("no face detected in the first seconds of {path}", path=video))
