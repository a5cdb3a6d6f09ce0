"""video + audio -> what the network sees: the one path for training and inference."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.audio_features import STEPS_PER_FRAME, is_silent, mfcc, speech_frames
from src.config import DataConfig
from src.errors import ClipTooShortError, NoFaceError, SilentAudioError, UnreadableMediaError
from src.faces import Detector, FaceCount, follow_largest
from src.media import FPS, probe, read_audio, read_pictures
from src.messages import tr

WINDOW_FRAMES = 5  # what one embedding sees

# A picture track this much shorter than its header says was cut off.
MISSING_S, MISSING_SHARE = 0.5, 0.02


@dataclass
class TrackFeatures:
    """One followed face with the sound under it; ``T`` frames at 25 fps.

    Attributes:
        first_frame: index of its first frame in the clip.
        crops: uint8 [T, size, size], grey.
        mfcc: float32 [4 T, n_mfcc]; steps 4t … 4t+3 lie under frame t.
        speech: bool [T], whether somebody speaks.
        boxes: float32 [T, 4], pixels x0 y0 x1 y1.
    """

    first_frame: int
    crops: np.ndarray
    mfcc: np.ndarray
    speech: np.ndarray
    boxes: np.ndarray


@dataclass
class ClipFeatures:
    """All usable tracks of a clip, in order of time.

    Attributes:
        tracks: each at least as long as was asked for.
        mfcc: float32 [4 n_frames, n_mfcc], of the whole clip.
        speech: bool [n_frames], of the whole clip.
        n_frames: frames of the clip on the 25 fps grid.
        face_share: share of these that belong to a track, 0…1.
    """

    tracks: list[TrackFeatures]
    mfcc: np.ndarray
    speech: np.ndarray
    n_frames: int
    face_share: float

    @property
    def duration_s(self) -> float:
        return self.n_frames / FPS


def extract_clip(
    video_path: str | Path,
    audio_path: str | Path | None,
    settings: DataConfig,
    detector: Detector,
    shortest: int = WINDOW_FRAMES,
    threads: int = 1,
) -> ClipFeatures:
    """Decode a clip, follow its largest face, crop it and compute the MFCC under it.

    Args:
        video_path: the pictures.
        audio_path: the sound, its first sample at the first picture; None: the video's own.
        settings: the ``data`` section.
        detector: finds faces.
        shortest: frames a track must have.
        threads: decoder threads.

    Raises:
        MediaError: one of its kinds says what is wrong with which file.
    """
    sound_path = video_path if audio_path is None else audio_path
    sound = read_audio(sound_path)
    if is_silent(sound):
        raise SilentAudioError(tr("the sound of {path} is silent throughout", path=sound_path))
    count = FaceCount()
    pictures = read_pictures(video_path, threads)
    all_tracks = list(follow_largest(pictures, detector, settings, count))
    if count.frames < WINDOW_FRAMES:
        raise ClipTooShortError(
            tr("{path} has only {n} frames; at least {least} are needed",
               path=video_path, n=count.frames, least=WINDOW_FRAMES)
        )  # fmt: skip
    if len(sound) < WINDOW_FRAMES * STEPS_PER_FRAME * 160:
        raise ClipTooShortError(
            tr("the sound of {path} lasts only {ms} ms; at least 200 ms are needed",
               path=sound_path, ms=len(sound) // 16)
        )  # fmt: skip
    _check_whole(video_path, count.frames / FPS)
    tracks = [track for track in all_tracks if len(track.crops) >= shortest]
    if not tracks:
        raise _no_face(video_path, count, [len(track.crops) for track in all_tracks], shortest)
    features = mfcc(sound, count.frames, settings.n_mfcc)
    spoken = speech_frames(sound, count.frames)
    ready = []
    for track in tracks:
        span = slice(track.first_frame, track.first_frame + len(track.crops))
        steps = slice(span.start * STEPS_PER_FRAME, span.stop * STEPS_PER_FRAME)
        crops, boxes = np.stack(track.crops), np.stack(track.boxes)
        ready.append(TrackFeatures(span.start, crops, features[steps], spoken[span], boxes))
    covered = sum(len(track.crops) for track in ready)
    return ClipFeatures(ready, features, spoken, count.frames, covered / count.frames)


def _check_whole(video_path: str | Path, read_s: float) -> None:
    """A file that breaks off must not pass for a shorter one."""
    promised_s = probe(video_path).picture_s
    if promised_s - read_s > max(MISSING_S, MISSING_SHARE * promised_s):
        raise UnreadableMediaError(
            tr("{path} breaks off after {read:.1f} of {promised:.1f} s: it is damaged or "
               "incomplete; export or download it again",
               path=video_path, read=read_s, promised=promised_s)
        )  # fmt: skip


def _no_face(path, count: FaceCount, lengths: list[int], shortest: int) -> NoFaceError:
    if not lengths:
        return NoFaceError(
            tr("no face found in {missed} of {looked} frames of {path}; is the face visible, "
               "upright and at least 30 pixels wide?",
               missed=count.looked - count.found, looked=count.looked, path=path)
        )  # fmt: skip
    return NoFaceError(
        tr("no face stays long enough in {path}: the longest stretch is {longest} frames, "
           "{shortest} are needed",
           path=path, longest=max(lengths), shortest=shortest)
    )  # fmt: skip
