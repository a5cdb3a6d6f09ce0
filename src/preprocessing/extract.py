"""A clip -> its faces and audio features: the one path of training and inference."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..audio.features import Loudness, feature_blocks
from ..core.background import BackgroundTask
from ..core.config import DataConfig
from ..core.constants import FPS, SAMPLE_RATE, WINDOW_FRAMES
from ..core.errors import ClipTooShortError, NoFaceError, SilentAudioError, UnreadableMediaError
from ..core.progress import Progress, no_progress
from ..faces.detection import Detector
from ..faces.track import FaceTrack
from ..faces.tracker import TrackingStats, track_faces
from ..i18n.messages import tr
from ..media.container import MediaInfo, ReadReport, probe
from ..media.reader import read_frames, stream_audio
from .clip_features import AudioFeatures, ClipFeatures, TrackFeatures
from .track_file import CropFile, write_sample

# A picture track this much shorter than its header says was cut off.
MISSING_S, MISSING_SHARE = 0.5, 0.02
WORTH_SAYING = 0.98  # less of a clip than this with a face, or sound, is mentioned
SMALLEST_SEEN = 18  # px: narrower faces are missed in the picture of data.detection_size
SPOILT = 0.02  # more damaged pictures than this are why no face is found: most rest on others


def extract_clip(
    video_path: str | Path,
    audio_path: str | Path | None,
    settings: DataConfig,
    detector: Detector,
    folder: Path,
    shortest: int = WINDOW_FRAMES,
    threads: int = 1,
    everyone: bool = False,
    progress: Progress = no_progress,
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
    heard, report, count = ReadReport(), ReadReport(), TrackingStats()
    expected = (info.video_s or info.duration_s) * FPS
    number = iter(range(1 << 30))
    with BackgroundTask(
        lambda passing: _hear(sound_path, folder / "sound.rows", settings.n_mfcc, heard, passing)
    ) as hearing:
        pictures = hearing.watched(read_frames(video_path, threads, report))
        tracks = list(
            track_faces(
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
) -> tuple[AudioFeatures, Loudness]:
    """MFCC and speech of a sound on disk; its blocks go through ``passing``."""
    loudness, sound = Loudness(), AudioFeatures(rows, n_mfcc)
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
    missing = info.n_source_frames - report.pictures
    if info.n_source_frames and missing <= max(
        MISSING_S * FPS, MISSING_SHARE * info.n_source_frames
    ):
        return  # the last picture may stand for long
    promised_s = info.video_s
    if not promised_s and heard_s is not None:  # flv says how long the longer of both lasts
        promised_s, seen_s = info.duration_s, max(seen_s, heard_s)
    if promised_s - seen_s > max(MISSING_S, MISSING_SHARE * promised_s):
        promised = info.n_source_frames or round(promised_s * (info.fps or FPS))
        raise UnreadableMediaError(
            tr("{path} breaks off: {read} of {promised} frames could be read; it is damaged or "
               "incomplete, export or download it again",
               path=info.path, read=report.pictures, promised=promised)
        )  # fmt: skip


def _no_face(
    info: MediaInfo, count: TrackingStats, pictures: int, settings: DataConfig, shortest: int
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
    clip: ClipFeatures, tracks: list[FaceTrack], count: TrackingStats, report: ReadReport,
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
