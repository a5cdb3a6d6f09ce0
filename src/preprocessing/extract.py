"""A clip -> its face tracks and audio features: the one path of training and inference."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from ..core.background import BackgroundTask, made_ahead
from ..core.config import DataConfig
from ..core.constants import FPS, SAMPLE_RATE, WINDOW_FRAMES
from ..core.errors import ClipTooShortError, MediaError, NoFaceError, UnreadableMediaError
from ..core.notes import (
    AudioEndsEarly,
    AudioEndsLate,
    ClipNote,
    DamagedAudio,
    DamagedFrames,
    FramesWithoutFace,
    JoinedRecordings,
    OneChannel,
    OtherFaces,
    OtherStreams,
    SpeechInOtherAudio,
    TurnedVideo,
)
from ..core.progress import Progress, no_progress
from ..faces.detection import LARGER_DETECTION, Detector
from ..faces.orientation import OrientationWatch
from ..faces.search_ahead import SearchAhead
from ..faces.track import FaceTrack
from ..faces.tracker import FaceTracker, TrackingStats, scaled_frame
from ..i18n.messages import tr
from ..media.container import MediaInfo, ReadReport, describe_streams, joined_clock, probe
from ..media.frame import VideoFrame
from ..media.reader import read_frames
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from .audio import ExtractedAudio, extract_audio
from .clip_features import AudioFeatures, ClipFeatures, TrackFeatures
from .sample_file import CropFile, write_sample

# A video stream this much shorter than its header declares is truncated.
MAX_MISSING_S, MAX_MISSING_SHARE = 0.5, 0.02
NOTED_SHARE = 0.98  # less of a clip than this with a face, or intact audio, is noted
SMALLEST_DETECTED = 18  # px: narrower faces are missed in the frame of data.detection_size
PROBE_INTERVAL = FPS  # frames between those that are probed for small faces
FRAMES_AHEAD = 6  # that are decoded while faces are detected in the ones before
# More damaged frames than this explain why no face is detected: most frames depend on others.
MAX_DAMAGED_SHARE = 0.02


@dataclass(frozen=True)
class ExtractOptions:
    """How a clip is read and which face tracks are chosen.

    Attributes:
        min_frames: frames a track must have.
        threads: decoder threads; 0 lets the decoder choose.
        all_faces: choose all tracks, not only those that ``data.track`` chooses.
        streams: which of several streams are used.
    """

    min_frames: int = WINDOW_FRAMES
    threads: int = 1
    all_faces: bool = False
    streams: StreamChoice = DEFAULT_STREAMS


def extract_clip(
    video_path: str | Path,
    audio_path: str | Path | None,
    settings: DataConfig,
    detector: Detector,
    folder: Path,
    options: ExtractOptions | None = None,
    progress: Progress = no_progress,
) -> ClipFeatures:
    """Decode a clip, track its faces, crop them and compute the MFCC under them.

    Everything that grows with the clip goes to files; memory stays the same. A video that lies on
    its side or is upside down is tracked again, turned; boxes are of its frames as they are.

    Args:
        video_path: the video file.
        audio_path: the audio file, its first sample at the first frame; None: the video's own
            audio track.
        settings: the ``data`` section.
        detector: detects faces.
        folder: an existing, empty folder; the result lives as long as it does.
        options: None: the default ones.
        progress: reports the frames; the audio is processed meanwhile.

    Raises:
        MediaError: one of its kinds says what is wrong with which file.
        OutputError: the folder cannot be written.
    """
    options = options or ExtractOptions()
    embedded = audio_path is None
    streams = options.streams if embedded else options.streams.of_video()
    info = probe(video_path, streams)
    with BackgroundTask(
        lambda passing: extract_audio(
            video_path if embedded else audio_path,
            streams if embedded else options.streams.of_audio(),
            folder,
            settings.n_mfcc,
            passing,
        )
    ) as audio_task:

        def reported(frames: Iterable, stage: str, total: float) -> Iterable:
            return progress(audio_task.watched(frames), stage, total)

        faces = _find_faces(
            video_path, info, settings, detector, folder, options, streams, reported
        )
        audio = audio_task.result()
    return _join(faces, audio, audio_path, settings, options, folder)


class SharedVideo:
    """A video for several audio files, whose frames are read once.

    Args:
        path, settings, detector, options: as of ``extract_clip``.
        folder: an existing, empty folder, for as long as the video is used.
    """

    def __init__(
        self,
        path: str | Path,
        settings: DataConfig,
        detector: Detector,
        folder: Path,
        options: ExtractOptions,
    ):
        self._path, self._settings, self._detector = path, settings, detector
        self._folder, self._options = folder, options
        self._faces: _VideoFaces | MediaError | None = None

    def with_audio(self, audio_path: str | Path, folder: Path) -> ClipFeatures:
        """What ``extract_clip`` gives for the video with an audio file.

        Args:
            folder: an existing, empty folder; the result lives as long as it does.

        Raises:
            MediaError, OutputError: as ``extract_clip``.
        """
        settings, options = self._settings, self._options
        info = probe(self._path, options.streams.of_video())
        streams = options.streams.of_audio()
        audio = extract_audio(audio_path, streams, folder, settings.n_mfcc, iter)
        faces = self._find_faces(info)
        return _join(faces, audio, audio_path, settings, options, folder, keep_crops=True)

    def _find_faces(self, info: MediaInfo) -> "_VideoFaces":
        if self._faces is None:
            try:
                self._faces = _find_faces(
                    self._path, info, self._settings, self._detector, self._folder, self._options,
                    self._options.streams.of_video(), no_progress,
                )  # fmt: skip
            except MediaError as error:
                self._faces = error  # nor is what cannot be read tried again
        if isinstance(self._faces, MediaError):
            raise self._faces
        return self._faces


@dataclass(frozen=True)
class _VideoFaces:
    """The face tracks of a video, on disk.

    Attributes:
        path, info: the file and its header.
        tracks: those that are used.
        stats: of all.
        report: damage met.
        turn: degrees clockwise by which it was turned to be upright.
        detection_size: of the frames that were searched, pixels.
    """

    path: str | Path
    info: MediaInfo
    tracks: list[FaceTrack]
    stats: TrackingStats
    report: ReadReport
    turn: int
    detection_size: int

    @property
    def is_frozen(self) -> bool:
        return self.stats.n_frozen > self.stats.n_frames / 2

    @property
    def is_damaged(self) -> bool:
        return self.report.damaged_share > MAX_DAMAGED_SHARE

    @property
    def will_be_refused(self) -> bool:
        """Whether the clip is refused, whatever faces larger frames may show."""
        return self.is_frozen or self.is_damaged or self.stats.n_frames < WINDOW_FRAMES


def _find_faces(
    path: str | Path, info: MediaInfo, settings: DataConfig, detector: Detector, folder: Path,
    options: ExtractOptions, streams: StreamChoice, progress: Progress,
) -> _VideoFaces:  # fmt: skip
    """Track the faces of a video, and crop them into files in a folder.

    Where no track can be used, it is turned if that makes faces upright, and searched again in
    larger frames if a few of these show a face: a talking head in the corner of a screen recording
    is 30 to 80 pixels wide.
    """
    faces = _track_faces(path, info, settings, detector, folder, options, streams, progress)
    if faces.tracks or faces.will_be_refused:
        return faces
    size = min(LARGER_DETECTION, max(info.width, info.height))
    # Another detector may take seconds for a frame.
    is_worth_it = settings.detector == "retinaface" and size >= 1.5 * settings.detection_size
    if not is_worth_it or not _shows_face(read_frames(path, options.threads, streams), detector):
        return faces
    larger = settings.model_copy(update={"detection_size": LARGER_DETECTION})
    again = _track_faces(path, info, larger, detector, folder, options, streams, progress)
    is_better = again.tracks or again.stats.longest_track >= faces.stats.longest_track
    return again if is_better else faces


def _shows_face(video: Iterable[VideoFrame], detector: Detector) -> bool:
    """Whether there is a face in one of the larger frames, one a second."""
    for number, frame in enumerate(video):
        if number % PROBE_INTERVAL == 0:
            image, _ = scaled_frame(frame, LARGER_DETECTION)
            if detector.detect(image[None])[0]:
                return True
    return False


def _track_faces(
    path: str | Path, info: MediaInfo, settings: DataConfig, detector: Detector, folder: Path,
    options: ExtractOptions, streams: StreamChoice, progress: Progress,
) -> _VideoFaces:  # fmt: skip
    """``_find_faces`` in frames of one size."""
    numbers = count()
    # With one thread a clip, the cores are busy with others.
    has_threads = options.threads != 1
    ahead = None
    if has_threads and getattr(detector, "is_thread_safe", False):
        detector = ahead = SearchAhead(detector, settings)
    orientation = OrientationWatch(detector)

    def frames_of(video: Iterable[VideoFrame]) -> AbstractContextManager[Iterator[VideoFrame]]:
        return _prepared_ahead(video, ahead) if has_threads else nullcontext(video)

    expected_frames = (info.video_s or info.duration_s) * FPS

    def track_faces(video: Iterable) -> tuple[list[FaceTrack], TrackingStats]:
        tracker = FaceTracker(
            orientation,
            settings,
            lambda: CropFile(folder / f"{next(numbers)}.rows", settings.input_size),
            options.min_frames,
            options.all_faces,
        )
        with frames_of(video) as frames:
            frames = progress(frames, tr("detecting faces"), expected_frames)
            return list(tracker.track(frames)), tracker.stats

    video = read_frames(path, options.threads, streams)
    tracks, stats = track_faces(video)
    turn = orientation.find_turn()
    if turn:
        turned_tracks, turned_stats = track_faces(read_frames(path, options.threads, streams, turn))
        if turned_tracks:
            for track in tracks:
                track.sink.discard()
            tracks, stats = turned_tracks, turned_stats
        else:
            turn = 0
    return _VideoFaces(path, info, tracks, stats, video.report, turn, settings.detection_size)


def _prepared_ahead(
    video: Iterable[VideoFrame], ahead: SearchAhead | None
) -> AbstractContextManager[Iterator[VideoFrame]]:
    """The frames, decoded, and compared for cuts and searched for faces if the detector can do so,
    in a thread of its own."""

    def prepared() -> Iterator[VideoFrame]:
        if ahead is not None:
            ahead.restart()
        for frame in video:
            if ahead is not None:
                ahead.prepare(frame)
            yield frame

    return made_ahead(prepared(), FRAMES_AHEAD)


def _join(
    faces: _VideoFaces, audio: ExtractedAudio, audio_path: str | Path | None,
    settings: DataConfig, options: ExtractOptions, folder: Path, keep_crops: bool = False,
) -> ClipFeatures:  # fmt: skip
    """The features of a clip, from those of its video and of its audio.

    Args:
        audio_path: None: the video's own audio.
        folder: for the joined tracks.
        keep_crops: those of the video stay, to be joined with other audio.
    """
    info, n_frames = faces.info, faces.stats.n_frames
    if n_frames < WINDOW_FRAMES:
        raise ClipTooShortError(
            tr("{path} has only {n} of the {least} frames required",
               path=faces.path, n=n_frames, least=WINDOW_FRAMES)
        )  # fmt: skip
    embedded_audio_s = audio.n_samples / SAMPLE_RATE if audio_path is None else None
    _check_not_truncated(info, n_frames / FPS, embedded_audio_s, faces.report)
    if not faces.tracks:
        raise _unusable_video(faces, settings.min_face_size, options.min_frames)
    tracks = []
    for number, track in enumerate(faces.tracks):
        tracks.append(_write_track(folder / f"track-{number}.npy", track, audio.features))
        if not keep_crops:
            track.sink.discard()
    clip = ClipFeatures(
        tracks, audio.features, n_frames, _face_share(faces.tracks, n_frames),
        faces.stats.n_tracks, info,
        StreamChoice(info.video_stream, audio.info.audio_stream, audio.channel),
    )  # fmt: skip
    clip.notes = [
        *([TurnedVideo(degrees=faces.turn)] if faces.turn else []),
        *_joined_notes(faces.path, audio_path),
        *_stream_notes(info, audio, options.streams),
        *_notes(clip, faces.report, audio.report, audio.n_samples, settings),
    ]
    return clip


def _write_track(path: Path, track: FaceTrack, audio: AudioFeatures) -> TrackFeatures:
    """Join the crops of a track with the audio features under them, in one file."""
    write_sample(path, track.sink.records, audio, track.first_frame)
    n_speech_frames = int(audio.read_speech(track.first_frame, track.stop).sum())
    return TrackFeatures(
        path, track.first_frame, track.n_frames, n_speech_frames, track.shot,
        track.area / track.n_frames, track.shot_begin,
    )  # fmt: skip


def _face_share(tracks: list[FaceTrack], n_frames: int) -> float:
    """Share of the frames that belong to a track, 0…1."""
    has_face = np.zeros(n_frames, bool)
    for track in tracks:
        has_face[track.first_frame : track.stop] = True
    return float(has_face.mean())


def _stream_notes(info: MediaInfo, audio: ExtractedAudio, asked: StreamChoice) -> list[ClipNote]:
    """What else is in the files, and where the speech is."""
    notes: list[ClipNote] = []
    if asked.video is None and info.other_videos:
        notes.append(
            OtherStreams(
                kind="video", used=info.video_stream, others=describe_streams(info.other_videos)
            )
        )
    if asked.audio is None and audio.info.other_audios:
        notes.append(
            OtherStreams(
                kind="audio", used=audio.info.audio_stream,
                others=describe_streams(audio.info.other_audios),
            )
        )  # fmt: skip
    if audio.others_with_speech:
        notes.append(
            SpeechInOtherAudio(
                used=audio.info.audio_stream, with_speech=list(audio.others_with_speech)
            )
        )
    if audio.channel is not None:
        notes.append(OneChannel(channel=audio.channel, channels=audio.info.audio_channels))
    return notes


def _check_not_truncated(
    info: MediaInfo, video_s: float, audio_s: float | None, report: ReadReport
) -> None:
    """A truncated file must not pass for a shorter one.

    Args:
        info: its header.
        video_s: seconds of video that could be read.
        audio_s: of its own audio track; None: not read.
        report: of reading the frames.
    """
    n_missing = info.n_source_frames - report.frames
    if info.n_source_frames and n_missing <= max(
        MAX_MISSING_S * FPS, MAX_MISSING_SHARE * info.n_source_frames
    ):
        return  # the last frame may have a long duration
    declared_s, read_s = info.video_s, video_s
    if not declared_s and audio_s is not None:  # flv declares the duration of the longer stream
        declared_s, read_s = info.duration_s, max(video_s, audio_s)
    if declared_s - read_s > max(MAX_MISSING_S, MAX_MISSING_SHARE * declared_s):
        n_declared = info.n_source_frames or round(declared_s * (info.fps or FPS))
        if report.frames >= n_declared:  # not the frames, but their times are missing
            raise UnreadableMediaError(
                tr("{path} is truncated: {read:.1f} of {promised:.1f} s could be read; export or "
                   "download it again", path=info.path, read=read_s, promised=declared_s)
            )  # fmt: skip
        raise UnreadableMediaError(
            tr("{path} is truncated: {read} of {promised} frames could be read; export or "
               "download it again",
               path=info.path, read=report.frames, promised=n_declared)
        )  # fmt: skip


def _unusable_video(
    faces: _VideoFaces, min_face_size: int, min_frames: int
) -> UnreadableMediaError | NoFaceError:
    """Why no face track can be used.

    Numbers of frames are those of the file, which a user can count: faces are searched for in
    some of them.
    """
    info, stats, report = faces.info, faces.stats, faces.report
    path, n_source = info.path, report.frames
    if faces.is_damaged:
        return UnreadableMediaError(
            tr("{n} of {frames} frames of {path} are damaged: export or download it again",
               n=report.n_damaged, frames=report.n_expected, path=path)
        )  # fmt: skip
    if faces.is_frozen:
        return NoFaceError(
            tr("{path} is frozen in {n} of {frames} frames: no visible speech",
               path=path, n=stats.n_frozen, frames=stats.n_frames)
        )  # fmt: skip
    if stats.longest_track:
        return NoFaceError(
            tr("no face stays on screen long enough in {path}: the longest face track has "
               "{longest} of the {shortest} frames required",
               path=path, longest=stats.longest_track, shortest=min_frames)
        )  # fmt: skip
    if stats.max_rejected_width:
        return NoFaceError(
            tr("the faces in {path} are too small: {width} pixels wide, at least {least} required "
               "(data.min_face_size)",
               path=path, width=round(stats.max_rejected_width), least=min_face_size)
        )  # fmt: skip
    n_failures = stats.n_searches - stats.n_successes
    scale = max(1.0, max(info.width, info.height) / faces.detection_size)
    text = tr("no face detected in {missed} of {frames} frames of {path}; is the face visible, "
              "upright and at least {least} pixels wide?",
              missed=round(n_source * n_failures / max(stats.n_searches, 1)), frames=n_source,
              path=path,
              least=max(min_face_size, round(SMALLEST_DETECTED * scale)))  # fmt: skip
    if info.other_videos:
        text = tr("{text} This is video track {used}; the file also has {others} (--video-stream)",
                  text=text, used=info.video_stream,
                  others=", ".join(describe_streams(info.other_videos)))  # fmt: skip
    return NoFaceError(text)


def _joined_notes(video_path: str | Path, audio_path: str | Path | None) -> list[ClipNote]:
    """Where the files consist of several recordings."""
    notes: list[ClipNote] = []
    for kind, path in (("video", video_path), ("audio", audio_path)):
        breaks_s = joined_clock(path).breaks_s if path is not None else ()
        if breaks_s:
            notes.append(JoinedRecordings(file=kind, times_s=[round(s, 3) for s in breaks_s]))
    return notes


def _notes(
    clip: ClipFeatures, video_report: ReadReport, audio_report: ReadReport, n_samples: int,
    settings: DataConfig,
) -> list[ClipNote]:  # fmt: skip
    """What a user should know of a clip that is used."""
    notes: list[ClipNote] = []
    if clip.face_share < NOTED_SHARE:
        n_without = clip.n_frames - round(clip.face_share * clip.n_frames)
        notes.append(FramesWithoutFace(frames=n_without, total_frames=clip.n_frames))
    n_others = clip.n_faces - len(clip.tracks)
    if n_others:
        notes.append(OtherFaces(faces=n_others, track=settings.track))
    if video_report.damaged_share:
        n_damaged, n_expected = video_report.n_damaged, video_report.n_expected
        notes.append(DamagedFrames(frames=n_damaged, total_frames=n_expected))
    if audio_report.damaged_share > 1 - NOTED_SHARE:
        notes.append(DamagedAudio(percent=round(100 * audio_report.damaged_share)))
    missing_s = round(clip.duration_s - n_samples / SAMPLE_RATE, 3)
    if missing_s > MAX_MISSING_S:
        notes.append(AudioEndsEarly(missing_s=missing_s))
    elif missing_s < -MAX_MISSING_S:
        notes.append(AudioEndsLate(extra_s=-missing_s))
    return notes
