"""A measured offset as edit decisions: where the audio is cut and slipped under its video."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from urllib.parse import quote

from ..core.errors import MediaError, NoVideoError
from ..i18n.messages import tr
from ..media.container import find_video_stream, open_media, probe
from ..media.reader import read_frames
from ..media.stream_choice import StreamChoice
from ..scoring.timeline import Segment, Timeline
from .timecode import parse_timecode, standard_rate

MIN_UNMEASURED_S = 3  # shorter pauses get no marker


@dataclass(frozen=True)
class EditSource:
    """A file of the edit.

    Attributes:
        start_frame: its timecode, in frames of the timeline; 0: it has none.
        duration_s: of its video, or of its audio where it has no video.
        channels, audio_rate: of its audio; 0: it has none.
    """

    path: Path
    start_frame: int = 0
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    channels: int = 0
    audio_rate: int = 0


@dataclass(frozen=True)
class AudioCut:
    """Audio under a span of the video.

    Attributes:
        record_frame, n_frames: of the video, from its first frame.
        source_s: second of the audio that lies under ``record_frame``; ≥ 0.
        offset_ms: by which it was delayed.
    """

    record_frame: int
    n_frames: int
    source_s: float
    offset_ms: float


@dataclass(frozen=True)
class EditMarker:
    """A remark on a span of the video: ``frame`` and ``n_frames`` (≥ 1) from its first frame."""

    frame: int
    n_frames: int
    text: str


@dataclass(frozen=True)
class EditDecisions:
    """What an editor does to correct a clip.

    Attributes:
        fps: of the video.
        drop: whether its timecode drops frames.
        n_frames: of the video.
        cuts: in order, without overlaps; where there is none, no audio belongs.
        segments: the offset over time that they follow.
        is_beside: the file of the edit will lie beside its media, wherever that is.
    """

    video: EditSource
    audio: EditSource
    fps: Fraction
    drop: bool
    n_frames: int
    cuts: tuple[AudioCut, ...]
    markers: tuple[EditMarker, ...]
    segments: tuple[Segment, ...]
    is_beside: bool = False

    def media_url(self, source: EditSource) -> str:
        """Where an editor looks for a file: its URL, or its name alone."""
        return quote(source.path.name) if self.is_beside else source.path.resolve().as_uri()

    @property
    def name(self) -> str:
        """Of the timeline."""
        return self.video.path.stem

    def source_frames(self, cut: AudioCut) -> float:
        """Where a cut begins in its source, in frames of the timeline from 0 h."""
        return self.audio.start_frame + cut.source_s * float(self.fps)

    def largest_remainder_ms(self) -> float:
        """What whole frames leave at most, in ms."""
        positions = [self.source_frames(cut) for cut in self.cuts]
        return max((abs(round(p) - p) for p in positions), default=0.0) * 1000 / float(self.fps)


def make_decisions(details: dict, is_beside: bool = False) -> EditDecisions:
    """The edit decisions of a result.

    Args:
        details: as of ``LipSyncInference.compute_sync_score``, with an offset.
        is_beside: as in ``EditDecisions``.

    Raises:
        MediaError: a file can no longer be read.
    """
    streams = StreamChoice(details["video_stream"], details["audio_stream"])
    video_path, audio_path = Path(details["video"]), Path(details["audio"])
    is_embedded = video_path == audio_path
    video, fps, drop = _read_video(video_path, streams if is_embedded else streams.of_video())
    if is_embedded:
        audio = video
    else:
        info = probe(audio_path, streams.of_audio())
        audio = EditSource(audio_path, 0, info.duration_s, 0, 0, info.audio_channels,
                           info.audio_rate)  # fmt: skip
    n_frames = max(1, round(details["duration_s"] * fps))
    segments = Timeline.from_details(details["timeline"]).segments
    cuts = [
        cut for number, segment in enumerate(segments)
        for cut in _cuts_of(segment, fps, n_frames, number == len(segments) - 1, audio.duration_s)
    ]  # fmt: skip
    markers = _markers(details, segments, fps, n_frames)
    return EditDecisions(
        video, audio, fps, drop, n_frames, tuple(cuts), markers, segments, is_beside
    )


def _read_video(path: Path, streams: StreamChoice) -> tuple[EditSource, Fraction, bool]:
    info = probe(path, streams)
    with open_media(path) as container:
        stream = find_video_stream(container, streams.video)
        rate = stream and (stream.average_rate or stream.guessed_rate)
        if not rate:
            raise NoVideoError(tr("{path} has no video", path=path))
        fps = standard_rate(Fraction(rate))
        texts = [
            holder.metadata["timecode"] for holder in (stream, container, *container.streams)
            if "timecode" in holder.metadata
        ]  # fmt: skip
    try:
        start_frame, drop = parse_timecode(texts[0], fps) if texts else (0, False)
    except MediaError:
        start_frame, drop = 0, False  # as of a device that writes the time of day
    duration_s = info.video_s or info.duration_s
    first_frame = next(iter(read_frames(path, 1, streams.of_video())), None)  # knows the rotation
    width, height = (
        (info.width, info.height)
        if first_frame is None
        else (first_frame.width, first_frame.height)
    )
    source = EditSource(path, start_frame, duration_s, width, height,
                        info.audio_channels, info.audio_rate)  # fmt: skip
    return source, fps, drop


def _cuts_of(
    segment: Segment, fps: Fraction, n_frames: int, is_last: bool, audio_s: float
) -> list[AudioCut]:
    """The cuts of a segment: one, or with a drift so many that none is off by more than half a
    frame."""
    first = min(max(round(segment.start_s * fps), 0), n_frames)
    stop = n_frames if is_last else min(max(round(segment.end_s * fps), 0), n_frames)
    if segment.slope:
        step = max(1, floor(1000 / abs(segment.slope)))  # frames in which it moves by one
        edges = [*range(first, stop, step), stop]
    else:
        edges = [first, stop]
    cuts = []
    for begin, end in pairwise(edges):
        offset_s = segment.offset_at(float((begin + end) / 2 / fps)) / 1000
        begin = max(begin, ceil(round(offset_s * fps, 6)))  # before it the audio has not begun
        if audio_s:
            end = min(end, floor(round((audio_s + offset_s) * fps, 6)))
        if begin < end:
            cuts.append(AudioCut(begin, end - begin, max(0.0, float(begin / fps) - offset_s),
                                 round(offset_s * 1000, 3)))  # fmt: skip
    return cuts


def _markers(
    details: dict, segments: tuple[Segment, ...], fps: Fraction, n_frames: int
) -> tuple[EditMarker, ...]:
    spans = [
        (segment.start_s, segment.start_s, _correction_text(segment)) for segment in segments
        if len(segments) > 1 or round(segment.offset_ms) or segment.slope
    ]  # fmt: skip
    spans += [
        (note["start_s"], note["end_s"], note["text"])
        for note in details["notes"] if "start_s" in note and "end_s" in note
    ]  # fmt: skip
    known = [(start_s, end_s) for start_s, end_s, _ in spans if end_s > start_s]
    for start_s, end_s in _unmeasured_spans(details["per_second"]):
        if not any(low <= start_s and end_s <= high for low, high in known):
            spans.append((start_s, end_s, tr("uncertain: no speech or no face")))
    markers = []
    for start_s, end_s, text in sorted(spans, key=lambda span: span[:2]):
        frame = min(max(round(start_s * fps), 0), n_frames - 1)
        stop = min(max(round(end_s * fps), frame + 1), n_frames)
        markers.append(EditMarker(frame, stop - frame, text))
    return tuple(markers)


def _correction_text(segment: Segment) -> str:
    if segment.slope:
        return tr("audio moved by {ms:+.0f} ms here, by {slope:+.2f} ms more each second",
                  ms=segment.offset_ms, slope=segment.slope)  # fmt: skip
    return tr("audio moved by {ms:+.0f} ms from here", ms=segment.offset_ms)


def _unmeasured_spans(per_second: list[float | None]) -> list[tuple[float, float]]:
    """Start and end of the times of at least ``MIN_UNMEASURED_S`` in which nothing was scored."""
    edges, spans = [-1, *(i for i, score in enumerate(per_second) if score is not None),
                    len(per_second)], []  # fmt: skip
    for before, after in pairwise(edges):
        if after - before - 1 >= MIN_UNMEASURED_S:
            spans.append((float(before + 1), float(after)))
    return spans
