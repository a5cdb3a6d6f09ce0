"""What the tab "Check and correct" has done in a process: measure, correct, shift by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.constants import FPS
from ..core.errors import MediaError
from ..core.progress import Item, Progress
from ..correction.remux import shift_audio
from ..i18n.messages import tr
from ..media.container import probe
from ..media.stream_choice import StreamChoice
from ..pipeline.command import Views
from ..pipeline.correct_pair import correct_pair
from ..pipeline.edit_exports import EditExports
from ..pipeline.output_names import Source
from ..pipeline.pairs import synced_path
from ..report.html_report import face_images
from ..scoring.result import SyncResult
from .previews import make_excerpt, make_preview
from .worker import Work

EDIT_SUFFIXES = (".fcpxml", ".edl")
MAX_FACES = 12  # the longest are shown to choose from


@dataclass(frozen=True)
class Checked:
    """A pair that was measured.

    Attributes:
        result: what was found.
        faces: images (JPEG) of the faces that are seen longest, by their number.
        preview: plays in a browser, with the audio as given.
        report: a page that explains the result.
    """

    result: SyncResult
    faces: dict[int, bytes]
    preview: Path
    report: Path


@dataclass(frozen=True)
class Corrected:
    """A pair that was corrected, or not.

    Attributes:
        is_written: whether there is a corrected video.
        text: what was done, or why nothing was.
        notes: what could not be preserved.
        video: the corrected video, or None.
        annotated: a copy of the pair as given, with the result drawn into it, or None.
        preview: of the corrected video, or None.
        edits: the correction for editing software.
    """

    is_written: bool
    text: str
    notes: tuple[str, ...] = ()
    video: Path | None = None
    annotated: Path | None = None
    preview: Path | None = None
    edits: tuple[Path, ...] = ()


def check(
    work: Work, video: str, audio: str | None, face: str | int, max_minutes: float
) -> Checked:
    """Measure a pair.

    Args:
        video, audio: files in the working folder; audio None: the video's own.
        face: as in ``LipSyncInference.compute_sync_score``.
        max_minutes: longer videos are refused.

    Raises:
        MediaError: a file cannot be used, or is too long.
    """
    result = work.engine.measure(video, audio, face, limited(work, video, audio, max_minutes))
    tracks = sorted(result.tracks, key=lambda track: track.start_s - track.end_s)[:MAX_FACES]
    work.report(tr("preparing the preview"), None)
    faces = face_images(video, tracks, StreamChoice(result.video_stream))
    preview = make_preview(work, Path(video), None if audio is None else Path(audio), "before")
    report = work.folder / f"{Path(video).stem}_report.html"
    views = Views(report=str(report))
    for _ in views.write(result.score, result.to_dict()):
        pass
    return Checked(result, faces, preview.resolve(), report.resolve())


def limited(work: Work, video: str, audio: str | None, max_minutes: float) -> Progress:
    """The progress of work on a pair, which refuses what is longer than it may be.

    Raises:
        MediaError: a file is too long by its header, or cannot be used.
    """
    for name in filter(None, (video, audio)):
        if probe(name).duration_s > 60 * max_minutes:
            raise too_long(name, max_minutes)
    return _Limited(work, video, max_minutes)


class _Limited:
    """A ``Progress`` that refuses more frames than a video may have: headers may be wrong."""

    def __init__(self, work: Work, name: str, max_minutes: float):
        self._work, self._name, self._max_minutes = work, name, max_minutes

    def __call__(self, items: Iterable[Item], stage: str, total: float) -> Iterable[Item]:
        for number, item in enumerate(self._work.progress(items, stage, total)):
            if number > 60 * FPS * self._max_minutes:
                raise too_long(self._name, self._max_minutes)
            yield item


def too_long(name: str, max_minutes: float) -> MediaError:
    """The error of a video that is too long."""
    return MediaError(
        tr("{path} is longer than {n:g} min: cut it into parts, or start the program with a "
           "larger --max-minutes", path=name, n=max_minutes)
    )  # fmt: skip


class _Measured:
    """An engine that has already measured the pair as given."""

    def __init__(self, work: Work, result: SyncResult):
        self._work, self._result = work, result

    def measure(self, video_path, audio_path=None, face="speaking", progress=None, streams=None):
        """As ``LipSyncInference.measure``."""
        if str(video_path) == self._result.video:
            return self._result
        return self._work.engine.measure(video_path, audio_path, face, progress, streams)


def correct(work: Work, result: SyncResult, face: str | int) -> Corrected:
    """Correct a pair along its offset, measure that again, and draw the annotated copy.

    Args:
        result: of the pair, whose files are in the working folder.
        face: for which it was measured.
    """
    video, audio = result.video, None if result.audio == result.video else result.audio
    output = synced_path(work.folder, video)
    streams = StreamChoice(result.video_stream, result.audio_stream)
    work.report(tr("moving the audio"), None)
    is_written, text, measured = correct_pair(
        _Measured(work, result), video, audio, output, face, "pad", work.progress, streams, True
    )
    if not is_written:
        return Corrected(False, text)
    annotated = work.folder / f"{Path(video).stem}_annotated.mp4"
    views = Views(annotate=str(annotated), source=Source(video, audio, streams))
    for _ in views.write(result.score, result.to_dict(), work.progress):
        pass
    preview = make_preview(work, output, None, "after")
    edits = tuple(work.folder / f"{Path(video).stem}{suffix}" for suffix in EDIT_SUFFIXES)
    for _ in EditExports(edits, overwrite=True, is_beside=True).write(result.to_dict()):
        pass
    return Corrected(
        True, text, tuple(measured["notes"]), output.resolve(), annotated.resolve(),
        preview.resolve(), tuple(path.resolve() for path in edits),
    )  # fmt: skip


def shift(work: Work, result: SyncResult, delay_ms: float, excerpt: str | None) -> tuple[str, str]:
    """A few seconds of the pair with its audio moved by hand.

    Args:
        delay_ms: > 0 delays the audio.
        excerpt: that of an earlier call; None: it is cut out.

    Returns:
        the excerpt, and the same with the audio moved.
    """
    source = Path(excerpt) if excerpt else work.folder / "excerpt.mp4"
    if excerpt is None:
        make_excerpt(work, result, source)
    work.report(tr("moving the audio"), None)
    output = work.folder / "moved.mp4"
    shift_audio(source, None, output, delay_ms)
    return str(source.resolve()), str(output.resolve())


def shift_all(work: Work, result: SyncResult, delay_ms: float) -> Corrected:
    """The whole pair with its audio moved by hand; arguments as in ``shift``."""
    video, audio = result.video, None if result.audio == result.video else result.audio
    output = synced_path(work.folder, video)
    work.report(tr("moving the audio"), None)
    shift_audio(video, audio, output, delay_ms)
    preview = make_preview(work, output, None, "after")
    text = tr("audio moved by {ms:+.0f} ms, by hand", ms=delay_ms)
    return Corrected(True, text, (), output.resolve(), None, preview.resolve())
