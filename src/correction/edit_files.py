"""Edit decisions as files: OpenTimelineIO, FCPXML, EDL (CMX 3600), and plainly as CSV, SRT, text.

EDL and FCPXML are written here: OpenTimelineIO's adapter for EDL (1.0) leaves out the audio track,
and the one for FCPXML (1.0) fails on a timeline of one video with cut audio.
"""

import csv
import io
import re
from collections.abc import Callable
from fractions import Fraction
from xml.etree import ElementTree as ET

from ..core.command_text import command_text
from ..core.errors import ConfigError
from ..i18n.messages import tr
from .edit_decisions import AudioCut, EditDecisions, EditSource
from .timecode import format_timecode

SUBFRAME = 48000  # parts of a second in which FCPXML gives positions in audio that has no rate


# --- OpenTimelineIO


def otio_text(edit: EditDecisions) -> str:
    """The timeline as OpenTimelineIO's JSON.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        import opentimelineio as otio
    except ImportError:
        raise ConfigError(
            tr(".otio needs OpenTimelineIO: pip install -r requirements-editors.txt")
        ) from None
    rate = float(edit.fps)

    def span(first: float, count: float) -> "otio.opentime.TimeRange":
        return otio.opentime.TimeRange(
            otio.opentime.RationalTime(first, rate), otio.opentime.RationalTime(count, rate)
        )

    def reference(source: EditSource) -> "otio.schema.ExternalReference":
        length = max(1, round(source.duration_s * edit.fps))
        media = otio.schema.ExternalReference(
            edit.media_url(source), span(source.start_frame, length)
        )
        media.name = source.path.name
        return media

    timeline = otio.schema.Timeline(edit.name)
    timeline.global_start_time = otio.opentime.RationalTime(edit.video.start_frame, rate)
    video = otio.schema.Track(tr("video"), kind=otio.schema.TrackKind.Video)
    audio = otio.schema.Track(tr("audio"), kind=otio.schema.TrackKind.Audio)
    timeline.tracks.extend([video, audio])
    clip = otio.schema.Clip(
        edit.video.path.name, reference(edit.video), span(edit.video.start_frame, edit.n_frames)
    )
    for marker in edit.markers:
        marked = span(edit.video.start_frame + marker.frame, marker.n_frames)
        clip.markers.append(otio.schema.Marker(marker.text, marked, otio.schema.MarkerColor.RED))
    video.append(clip)
    end = 0
    for cut in edit.cuts:
        if cut.record_frame > end:
            audio.append(otio.schema.Gap(source_range=span(0, cut.record_frame - end)))
        audio.append(
            otio.schema.Clip(
                edit.audio.path.name, reference(edit.audio),
                span(edit.source_frames(cut), cut.n_frames),
                {"lipsync": {"offset_ms": cut.offset_ms, "drop_frame": edit.drop}},
            )
        )  # fmt: skip
        end = cut.record_frame + cut.n_frames
    return otio.adapters.write_to_string(timeline, "otio_json") + "\n"


# --- FCPXML


def fcpxml_text(edit: EditDecisions) -> str:
    """The timeline as FCPXML 1.9: Final Cut Pro, and DaVinci Resolve."""
    frame = 1 / edit.fps
    root = ET.Element("fcpxml", version="1.9")
    resources = ET.SubElement(root, "resources")
    ET.SubElement(
        resources, "format", id="r1", frameDuration=_seconds(frame),
        width=str(edit.video.width), height=str(edit.video.height),
    )  # fmt: skip
    audio_ref = "r2" if edit.audio is edit.video else "r3"
    _add_asset(resources, "r2", edit.video, edit, has_video=True)
    if audio_ref == "r3":
        _add_asset(resources, "r3", edit.audio, edit, has_video=False)
    start, length = edit.video.start_frame * frame, edit.n_frames * frame
    counting = {"tcFormat": "DF" if edit.drop else "NDF"}
    library = ET.SubElement(root, "library")
    event = ET.SubElement(library, "event", name=edit.name)
    project = ET.SubElement(event, "project", name=edit.name)
    sequence = ET.SubElement(
        project, "sequence", format="r1", duration=_seconds(length), tcStart=_seconds(start),
        **counting,
    )  # fmt: skip
    spine = ET.SubElement(sequence, "spine")
    clip = ET.SubElement(
        spine, "asset-clip", ref="r2", name=edit.video.path.name, offset=_seconds(start),
        start=_seconds(start), duration=_seconds(length), srcEnable="video", **counting,
    )  # fmt: skip
    for cut in edit.cuts:
        ET.SubElement(
            clip, "asset-clip", ref=audio_ref, name=edit.audio.path.name, lane="-1",
            offset=_seconds(start + cut.record_frame * frame),
            start=_seconds(_fcpxml_position(edit, cut)), duration=_seconds(cut.n_frames * frame),
            srcEnable="audio", audioRole="dialogue",
        )  # fmt: skip
    for marker in edit.markers:
        ET.SubElement(
            clip, "marker", start=_seconds(start + marker.frame * frame),
            duration=_seconds(marker.n_frames * frame), value=marker.text,
        )  # fmt: skip
    ET.indent(root)
    header = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
    return header + ET.tostring(root, encoding="unicode") + "\n"


def _add_asset(
    resources: ET.Element, name: str, source: EditSource, edit: EditDecisions, has_video: bool
) -> None:
    frame = 1 / edit.fps
    length = max(1, round(source.duration_s / frame)) * frame
    attributes = {"hasVideo": "1", "format": "r1"} if has_video else {}
    if source.channels:
        attributes |= {"hasAudio": "1", "audioSources": "1", "audioChannels": str(source.channels),
                       "audioRate": str(source.audio_rate)}  # fmt: skip
    asset = ET.SubElement(
        resources, "asset", id=name, name=source.path.name,
        start=_seconds(source.start_frame * frame), duration=_seconds(length), **attributes,
    )  # fmt: skip
    ET.SubElement(asset, "media-rep", kind="original-media", src=edit.media_url(source))


def _fcpxml_position(edit: EditDecisions, cut: AudioCut) -> Fraction:
    """Second of the source at which a cut begins, to the sample."""
    rate = edit.audio.audio_rate or SUBFRAME
    return edit.audio.start_frame / edit.fps + Fraction(round(cut.source_s * rate), rate)


def _seconds(value: Fraction) -> str:
    """As FCPXML writes times: ``1001/30000s``, ``2s``."""
    return f"{value}s"


# --- EDL


def edl_text(edit: EditDecisions) -> str:
    """The timeline as a CMX 3600 edit decision list, in whole frames; what they leave is said in
    a comment of each event."""

    def code(frame: int) -> str:
        return format_timecode(frame, edit.fps, edit.drop)

    def event(channel: str, source: EditSource, first: int, record: int, count: int) -> str:
        number = len(events) + 1
        record += edit.video.start_frame
        return (f"{number:03d}  {_reel(source):8s} {channel:5s} C        {code(first)} "
                f"{code(first + count)} {code(record)} {code(record + count)}\n"
                f"* FROM CLIP NAME: {_one_line(source.path.name)}\n")  # fmt: skip

    events: list[str] = []
    text = event("V", edit.video, edit.video.start_frame, 0, edit.n_frames)
    for marker in edit.markers:
        place = code(edit.video.start_frame + marker.frame)
        text += f"* LOC: {place} RED     {_one_line(marker.text)}\n"
    events.append(text)
    channel = "A" if edit.audio.channels == 1 else "AA"
    for cut in edit.cuts:
        position = edit.source_frames(cut)
        text = event(channel, edit.audio, round(position), cut.record_frame, cut.n_frames)
        remainder_ms = (position - round(position)) * 1000 / float(edit.fps)
        text += f"* AUDIO OFFSET {cut.offset_ms:+.1f} MS, REMAINDER {remainder_ms:+.1f} MS\n"
        events.append(text)
    counting = "DROP FRAME" if edit.drop else "NON-DROP FRAME"
    return f"TITLE: {_one_line(edit.name)}\nFCM: {counting}\n\n" + "\n".join(events)


def _reel(source: EditSource) -> str:
    """A reel's name: 8 letters and digits; AX, as for files, where nothing remains."""
    return re.sub(r"[^A-Za-z0-9]", "", source.path.stem)[:8].upper() or "AX"


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- plain ways


def segments_text(edit: EditDecisions) -> str:
    """The offset over time as CSV; ``frames`` at the rate of the video."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["start_s", "end_s", "start_timecode", "offset_ms", "end_offset_ms", "frames"])
    for segment in edit.segments:
        start = edit.video.start_frame + round(segment.start_s * edit.fps)
        writer.writerow([
            f"{segment.start_s:.3f}", f"{segment.end_s:.3f}",
            format_timecode(start, edit.fps, edit.drop), f"{segment.offset_ms:.1f}",
            f"{segment.offset_at(segment.end_s):.1f}",
            f"{segment.offset_ms * float(edit.fps) / 1000:.2f}",
        ])  # fmt: skip
    return file.getvalue()


def markers_text(edit: EditDecisions) -> str:
    """The markers as subtitles (SRT), a second long at least."""
    parts = []
    for number, marker in enumerate(edit.markers, 1):
        start_s = float(marker.frame / edit.fps)
        end_s = max(start_s + 1, float((marker.frame + marker.n_frames) / edit.fps))
        parts.append(f"{number}\n{_srt_time(start_s)} --> {_srt_time(end_s)}\n{marker.text}\n")
    return "\n".join(parts)


def _srt_time(second: float) -> str:
    seconds, ms = divmod(round(second * 1000), 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{ms:03d}"


def by_hand_text(edit: EditDecisions) -> str:
    """How to do it by hand: in an editor, with ffmpeg, and in OBS."""
    lines = []
    for segment in edit.segments:
        frames = segment.offset_ms * float(edit.fps) / 1000
        lines.append(
            tr("From {start:.2f} s to {end:.2f} s: move the audio by {ms:+.1f} ms "
               "({frames:+.2f} frames at {fps:.3f} fps; +: later).",
               start=segment.start_s, end=segment.end_s, ms=segment.offset_ms, frames=frames,
               fps=float(edit.fps))
        )  # fmt: skip
        if segment.slope:
            lines.append(
                tr("There the offset grows by {slope:+.3f} ms each second: play the audio at "
                   "{speed:.5%} of its speed.",
                   slope=segment.slope, speed=1 - segment.slope / 1000)
            )  # fmt: skip
    offset_ms = edit.segments[0].offset_ms
    if len(edit.segments) > 1 or edit.segments[0].slope:
        lines.append(tr("ffmpeg alone moves audio by a constant offset only: use --output, or the "
                        ".otio, .fcpxml or .edl file."))  # fmt: skip
    else:
        output = f"{edit.video.path.stem}_synced{edit.video.path.suffix}"
        by_ffmpeg = "ffmpeg: " + command_text([
            "ffmpeg", "-i", str(edit.video.path), "-itsoffset", f"{offset_ms / 1000:.4f}",
            "-i", str(edit.audio.path), "-map", "0:v", "-map", "1:a", "-c", "copy", output,
        ])  # fmt: skip
        if edit.video.path.suffix.lower() == ".avi":  # which has no timestamps
            by_ffmpeg = tr("ffmpeg cannot delay audio that is copied into an .avi: use --output, "
                           "or the .otio, .fcpxml or .edl file.")  # fmt: skip
        lines += [
            by_ffmpeg,
            tr('OBS: Advanced Audio Properties, "Sync Offset" of the microphone: {ms} ms',
               ms=round(offset_ms)),
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


WRITERS: dict[str, Callable[[EditDecisions], str]] = {
    ".otio": otio_text,
    ".fcpxml": fcpxml_text,
    ".edl": edl_text,
    ".csv": segments_text,
    ".srt": markers_text,
    ".txt": by_hand_text,
}
