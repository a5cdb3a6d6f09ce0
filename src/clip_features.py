"""video + audio -> what the network sees: the one path for training and inference."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.audio_features import STEPS_PER_FRAME, Loudness, feature_blocks, silence
from src.beside import Beside
from src.config import DataConfig
from src.containers import MediaInfo, ReadReport, probe
from src.errors import ClipTooShortError, NoFaceError, SilentAudioError, UnreadableMediaError
from src.face_detectors import Detector
from src.media import FPS, SAMPLE_RATE, read_pictures, stream_audio
from src.messages import tr
from src.progress import Progress, unseen
from src.sample_file import PIECE, CropFile, RowFile, read_sample, write_sample
from src.tracking import FaceCount, Track, follow_faces

WINDOW_FRAMES = 5  # what one embedding sees

# A picture track this much shorter than its header says was cut off.
MISSING_S, MISSING_SHARE = 0.5, 0.02
WORTH_SAYING = 0.98  # less of a clip than this with a face, or sound, is mentioned
SMALLEST_SEEN = 18  # px: narrower faces are missed in the picture of data.detection_size
SPOILT = 0.02  # more damaged pictures than this are why no face is found: most rest on others


@dataclass
class TrackFeatures:
    """One followed face with the sound under it; ``T`` frames at 25 fps, on disk.

    Attributes:
        path: its sample (``sample_file``).
        first_frame: index of its first frame in the clip.
        n_frames: T.
        spoken: frames in which somebody speaks.
        shot: number of its shot, from 0.
        area: mean area of its boxes, pixels².
        shot_begin: index of its shot's first frame, which may be before anybody was seen.
    """

    path: Path
    first_frame: int
    n_frames: int
    spoken: int
    shot: int = 0
    area: float = 0.0
    shot_begin: int = 0

    @property
    def crops(self) -> np.ndarray:
        """uint8 [T, size, size], grey; memory-mapped."""
        return read_sample(self.path)["crop"]

    def crops_of(self, first: int, stop: int) -> np.ndarray:
        """The crops of the frames ``first … stop − 1`` of the track, read; no map of the file
        stays, for what was read through it counts as memory."""
        return np.array(self.crops[first:stop])

    @property
    def boxes(self) -> np.ndarray:
        """float32 [T, 4], pixels x0 y0 x1 y1."""
        return np.concatenate([
            np.array(read_sample(self.path)["box"][start : start + PIECE])
            for start in range(0, self.n_frames, PIECE)
        ])  # fmt: skip

    @property
    def mfcc(self) -> np.ndarray:
        """float32 [4 T, n_mfcc]; steps 4t … 4t+3 lie under frame t."""
        steps = np.ascontiguousarray(read_sample(self.path)["mfcc"])
        return steps.reshape(-1, steps.shape[-1])

    @property
    def speech(self) -> np.ndarray:
        """bool [T], whether somebody speaks."""
        return np.array(read_sample(self.path)["speech"])


class Sound:
    """MFCC and speech of the whole sound of a clip, on disk; silence after its end."""

    def __init__(self, path: Path, n_mfcc: int):
        self.kind = np.dtype([("mfcc", "<f4", (STEPS_PER_FRAME, n_mfcc)), ("speech", "?")])
        self.rows = RowFile(path, self.kind)

    def append(self, mfcc: np.ndarray, speech: np.ndarray) -> None:
        """The next frames: float32 [F, 4, n_mfcc], bool [F]."""
        rows = np.empty(len(speech), self.kind)
        rows["mfcc"], rows["speech"] = mfcc, speech
        self.rows.append(rows)

    def __getitem__(self, span: slice) -> np.ndarray:
        """Rows of the frames ``span.start … span.stop − 1``."""
        rows = np.empty(span.stop - span.start, self.kind)
        heard = self.rows[span]
        rows[: len(heard)] = heard
        rows["mfcc"][len(heard) :] = silence(self.kind["mfcc"].shape[1])
        rows["speech"][len(heard) :] = False
        return rows

    def speech_of(self, first: int, stop: int) -> np.ndarray:
        """bool, whether somebody speaks in the frames ``first … stop − 1``."""
        return np.concatenate([
            self[start : min(start + PIECE, stop)]["speech"] for start in range(first, stop, PIECE)
        ])  # fmt: skip


@dataclass
class ClipFeatures:
    """All usable tracks of a clip, in order of time.

    Attributes:
        tracks: each at least as long as was asked for; no two share a frame, unless everyone was
            asked for.
        sound: of the whole clip.
        n_frames: frames of the clip on the 25 fps grid.
        face_share: share of these that belong to a track, 0…1.
        faces: tracks there were to choose from.
        info: the header of the video.
        notes: what was left out or is not as it should be, in words.
    """

    tracks: list[TrackFeatures]
    sound: Sound
    n_frames: int
    face_share: float
    faces: int
    info: MediaInfo
    notes: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return self.n_frames / FPS

    @property
    def mfcc(self) -> np.ndarray:
        """float32 [4 n_frames, n_mfcc], of the whole clip."""
        steps = np.ascontiguousarray(self.sound[0 : self.n_frames]["mfcc"])
        return steps.reshape(-1, steps.shape[-1])

    @property
    def speech(self) -> np.ndarray:
        """bool [n_frames], of the whole clip."""
        return self.sound.speech_of(0, self.n_frames)


def extract_clip(
    video_path: str | Path,
    audio_path: str | Path | None,
    settings: DataConfig,
    detector: Detector,
    folder: Path,
    shortest: int = WINDOW_FRAMES,
    threads: int = 1,
    everyone: bool = False,
    progress: Progress = unseen,
) -> ClipFeatures:
    """Decode a clip, follow its faces, crop them and compute the MFCC under them.

    Everything that grows with the clip goes to files; memory stays the same.

    Args:
        video_path: the pictures.
        audio_path: the sound, its first sample at the first picture; None: the video's own.
        settings: the ``data`` section.
        detector: finds faces.
        folder: an existing, empty folder; the result lives as long as it does.
        shortest: frames a track must have.
        threads: decoder threads.
        everyone: all faces that were followed, not those alone that ``data.track`` chooses.
        progress: told of the pictures; the sound is listened to meanwhile.

    Raises:
        MediaError: one of its kinds says what is wrong with which file.
        OutputError: the folder cannot be written.
    """
    sound_path = video_path if audio_path is None else audio_path
    info = probe(video_path)
    heard, report, count = ReadReport(), ReadReport(), FaceCount()
    expected = (info.picture_s or info.duration_s) * FPS
    number = iter(range(1 << 30))
    with Beside(
        lambda passing: _hear(sound_path, folder / "sound.rows", settings.n_mfcc, heard, passing)
    ) as hearing:
        pictures = hearing.watched(read_pictures(video_path, threads, report))
        tracks = list(
            follow_faces(
                progress(pictures, tr("looking for faces"), expected),
                detector,
                settings,
                shortest,
                lambda: CropFile(folder / f"{next(number)}.rows", settings.input_size),
                count,
                everyone,
            )
        )
        sound, loudness = hearing.result()
    if count.frames < WINDOW_FRAMES:
        raise ClipTooShortError(
            tr("{path} has only {n} of the {least} frames that are needed",
               path=video_path, n=count.frames, least=WINDOW_FRAMES)
        )  # fmt: skip
    own_sound_s = loudness.samples / SAMPLE_RATE if audio_path is None else None
    _check_whole(info, count.frames / FPS, own_sound_s, report)
    if not tracks and report.damage > SPOILT:
        raise UnreadableMediaError(
            tr("{n} of {pictures} pictures of {path} are damaged: export or download it again",
               n=report.n_damaged, pictures=report.n_all, path=video_path)
        )  # fmt: skip
    if not tracks:
        raise _no_face(info, count, report.pictures, settings, shortest)
    ready = []
    for place, track in enumerate(tracks):
        path, rows = folder / f"track-{place}.npy", track.sink.rows
        write_sample(path, rows, sound, track.first_frame)
        rows.discard()
        spoken = int(sound.speech_of(track.first_frame, track.stop).sum())
        area = track.area / track.n_frames
        ready.append(
            TrackFeatures(
                path, track.first_frame, track.n_frames, spoken, track.shot, area, track.shot_begin
            )
        )
    seen = np.zeros(count.frames, bool)
    for track in ready:
        seen[track.first_frame : track.first_frame + track.n_frames] = True
    clip = ClipFeatures(ready, sound, count.frames, float(seen.mean()), count.faces, info)
    clip.notes = _notes(clip, tracks, count, report, heard, loudness.samples, settings)
    return clip


def _hear(
    path: str | Path, rows: Path, n_mfcc: int, report: ReadReport, passing: Callable
) -> tuple[Sound, Loudness]:
    """MFCC and speech of a sound on disk; its blocks go through ``passing``."""
    loudness, sound = Loudness(), Sound(rows, n_mfcc)
    try:
        blocks = feature_blocks(loudness.passing(stream_audio(path, report)), n_mfcc)
        for mfcc, speech in passing(blocks):
            sound.append(mfcc, speech)
    finally:
        sound.rows.close()
    if loudness.silent:
        raise SilentAudioError(tr("the sound of {path} is silent throughout", path=path))
    if loudness.samples < WINDOW_FRAMES * SAMPLE_RATE // FPS:
        raise ClipTooShortError(
            tr("the sound of {path} lasts only {ms} ms; at least 200 ms are needed",
               path=path, ms=loudness.samples // 16)
        )  # fmt: skip
    return sound, loudness


def _check_whole(info: MediaInfo, seen_s: float, heard_s: float | None, report: ReadReport) -> None:
    """A file that breaks off must not pass for a shorter one.

    Args:
        info: its header.
        seen_s: seconds of picture that could be read.
        heard_s: of its own sound; None: not listened to.
        report: of reading the pictures.
    """
    missing = info.n_pictures - report.pictures
    if info.n_pictures and missing <= max(MISSING_S * FPS, MISSING_SHARE * info.n_pictures):
        return  # the last picture may stand for long
    promised_s = info.picture_s
    if not promised_s and heard_s is not None:  # flv says how long the longer of both lasts
        promised_s, seen_s = info.duration_s, max(seen_s, heard_s)
    if promised_s - seen_s > max(MISSING_S, MISSING_SHARE * promised_s):
        promised = info.n_pictures or round(promised_s * (info.fps or FPS))
        raise UnreadableMediaError(
            tr("{path} breaks off: {read} of {promised} frames could be read; it is damaged or "
               "incomplete, export or download it again",
               path=info.path, read=report.pictures, promised=promised)
        )  # fmt: skip


def _no_face(
    info: MediaInfo, count: FaceCount, pictures: int, settings: DataConfig, shortest: int
) -> NoFaceError:
    """Why nobody can be judged.

    Args:
        pictures: of the file, which is what a user counts: faces are looked for in some of them.
    """
    path = info.path
    if count.standing > count.frames / 2:
        return NoFaceError(
            tr("the picture of {path} stands still in {n} of {frames} frames: nobody can be seen "
               "speaking", path=path, n=count.standing, frames=count.frames)
        )  # fmt: skip
    if count.longest:
        return NoFaceError(
            tr("no face stays long enough in {path}: the longest stretch has {longest} of the "
               "{shortest} frames that are needed",
               path=path, longest=count.longest, shortest=shortest)
        )  # fmt: skip
    if count.widest_small:
        return NoFaceError(
            tr("the faces in {path} are too small: {width} pixels wide, at least {least} are "
               "needed (data.min_face_size)",
               path=path, width=round(count.widest_small), least=settings.min_face_size)
        )  # fmt: skip
    missed = round(pictures * (count.looked - count.found) / max(count.looked, 1))
    shrunk = max(1.0, max(info.width, info.height) / settings.detection_size)
    return NoFaceError(
        tr("no face found in {missed} of {frames} frames of {path}; is the face visible, "
           "upright and at least {least} pixels wide?",
           missed=missed, frames=pictures, path=path,
           least=max(settings.min_face_size, round(SMALLEST_SEEN * shrunk)))
    )  # fmt: skip


def _notes(
    clip: ClipFeatures, tracks: list[Track], count: FaceCount, report: ReadReport,
    heard: ReadReport, samples: int, settings: DataConfig,
) -> list[str]:  # fmt: skip
    """What a user should know of a clip that was used."""
    notes = []
    if clip.face_share < WORTH_SAYING:
        without = count.frames - round(clip.face_share * count.frames)
        notes.append(tr("{n} of {frames} frames without a face are left out",
                        n=without, frames=count.frames))  # fmt: skip
    others = count.faces - len(tracks)
    if others:
        notes.append(tr("other faces left out: {n} (data.track: {track})",
                        n=others, track=settings.track))  # fmt: skip
    if report.damage:
        notes.append(tr("{n} of {pictures} pictures are damaged",
                        n=report.n_damaged, pictures=report.n_all))  # fmt: skip
    if heard.damage > 1 - WORTH_SAYING:
        notes.append(tr("{percent} % of the sound is damaged", percent=round(100 * heard.damage)))
    missing_s = clip.duration_s - samples / SAMPLE_RATE
    if missing_s > MISSING_S:
        notes.append(tr("the sound ends {s:.1f} s before the picture", s=missing_s))
    elif missing_s < -MISSING_S:
        notes.append(tr("the last {s:.1f} s of the sound come after the picture and are not "
                        "compared", s=-missing_s))  # fmt: skip
    return notes
