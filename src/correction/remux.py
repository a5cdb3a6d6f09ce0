"""Writes the corrected video: its audio retimed, everything else copied where possible."""

import errno
import math
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from ..core.errors import NoAudioError, OutputError
from ..core.files import real_path, written_atomically
from ..i18n.messages import tr
from ..media.container import probe
from ..media.reader import audio_blocks, count_frames
from ..media.source_note import append_note
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from ..media.streams import read_audio_stream, read_source
from ..scoring.timeline import Segment, Timeline
from .duration import audio_end, check_fit, match_duration, measure_audio
from .ffmpeg_command import OutputCommand
from .joined_copy import on_one_clock
from .retiming import interleave, retime
from .stream_mapping import can_stream_copy, find_container
from .verify_output import SourceContent, verify_output

MIN_REPORTED_CUT_S = 0.5  # of audio; less is cut whenever audio is delayed


def shift_audio(
    video_path: str | Path, audio_path: str | Path | None, output_path: str | Path, delay_ms: float
) -> None:
    """``retime_audio`` with one offset: > 0 delays the audio, < 0 advances it."""
    timeline = Timeline("constant", (Segment(0.0, math.inf, delay_ms),))
    retime_audio(video_path, audio_path, output_path, timeline)


def retime_audio(
    video_path: str | Path,
    audio_path: str | Path | None,
    output_path: str | Path,
    timeline: Timeline,
    fit: str = "pad",
    streams: StreamChoice = DEFAULT_STREAMS,
    source_note: str | None = None,
) -> list[str]:
    """Mux a video with audio retimed along a timeline; except with ``trim``, every frame stays.

    The video is stream-copied where the output's container can hold it, else re-encoded. The audio
    is encoded once (``audio_codecs.choose_encoding``). Tags, chapters, rotation, subtitles and
    further streams are preserved as far as the container can hold them. Where the video's own
    audio is retimed, its further audio streams are retimed along the same timeline, as they were
    edited together; where other audio replaces the one that is used, they stay as they are. The
    streams that are used come first, as the default ones.

    Args:
        video_path: the video.
        audio_path: the audio, its first sample at the first frame; None: the video's own.
        output_path: the file to write; its suffix selects the container.
        timeline: the offsets to be corrected.
        fit: what is done where video and audio are not equally long. ``pad``: the whole video;
            longer audio is cut at its end, shorter audio padded with silence. ``trim``: the video,
            too, is cut where shorter audio ends (without re-encoding, at the next frame where that
            is possible). ``loop``: the video repeats until longer audio ends; shorter audio is
            padded with silence.
        streams: which of several streams are used.
        source_note: says in the output what it was made from (``media.source_note``).

    Returns:
        notes for the user: what could not be preserved.

    Raises:
        MediaError: an input cannot be used.
        ConfigError: no such ``fit``.
        OutputError: no container has the suffix, the file cannot be written, or it is not complete
            when it is read back.
    """
    check_fit(fit)
    with on_one_clock(video_path, Path(output_path).parent, output_path) as video:
        if audio_path is None or real_path(audio_path) == real_path(video_path):
            audio_path = None
        if video != Path(video_path):  # a copy, which may have lost what is the default
            info = probe(video_path, streams if audio_path is None else streams.of_video())
            audio = info.audio_stream if audio_path is None and info.has_audio else streams.audio
            streams = StreamChoice(info.video_stream, audio)
        return _retime_audio(video, audio_path, output_path, timeline, fit, streams, source_note)


def _retime_audio(
    video_path: Path, audio_path: str | Path | None, output_path: str | Path, timeline: Timeline,
    fit: str, streams: StreamChoice, source_note: str | None,
) -> list[str]:  # fmt: skip
    embedded = audio_path is None
    audio_source = Path(video_path if embedded else audio_path)
    source = read_source(video_path, streams if embedded else streams.of_video())
    audio_streams = streams if embedded else streams.of_audio()
    audio = source.audio if embedded else read_audio_stream(audio_source, audio_streams)
    if audio is None:
        raise NoAudioError(tr("{path} has no audio", path=audio_source))
    sample_rate = audio.sample_rate or 48000
    blocks = audio_blocks(audio_source, sample_rate, streams=audio_streams)
    start, block = next(blocks)  # audio that cannot be read raises before anything is written
    audio = audio.as_decoded(sample_rate, len(block))
    extent = measure_audio(audio_source, sample_rate, audio_streams)
    end_s = audio_end(extent.end_s, timeline)
    content = SourceContent(source, count_frames(video_path, streams.of_video()), extent)
    with written_atomically(output_path) as temporary, _temporary_folder(temporary) as folder:
        container = find_container(output_path, temporary)
        copied = can_stream_copy(source, container, looped=False)
        target = match_duration(source, fit, end_s, copied)
        if target.n_plays > 1 and copied and not can_stream_copy(source, container, looped=True):
            copied = False
            target = match_duration(source, fit, end_s, copied)
        command = OutputCommand(video_path, source, container, output_path, Path(folder))
        command.add_video(target, copied)
        command.add_audio(audio, source.audio)
        for stream in source.audio_streams:
            if stream is source.audio:
                continue
            further_timeline = timeline if embedded else None
            command.add_further_audio(stream, further_timeline, target.duration_s)
        command.add_other_streams()
        if source_note:
            command.add_source_note(source_note)
        n_samples = round(target.duration_s * sample_rate)
        retimed = retime(chain([(start, block)], blocks), sample_rate, timeline, n_samples)
        arguments = command.compile(temporary)
        _run(arguments, interleave(retimed), output_path, folder)
        if source_note:
            append_note(temporary, source_note)
        notes = verify_output(temporary, output_path, content, target, copied)
    cut_s = end_s - target.duration_s
    if cut_s > MIN_REPORTED_CUT_S:
        notes.append(tr("the last {s:.1f} s of the audio are cut: the video ends first", s=cut_s))
    return command.notes + notes


def _temporary_folder(path: Path) -> tempfile.TemporaryDirectory:
    """Next to a file, for data too large for the system's folder, which may be in memory."""
    return tempfile.TemporaryDirectory(
        prefix=f"{path.stem}-", dir=path.parent, ignore_cleanup_errors=True
    )


def _run(command: list[str], audio: Iterator[bytes], output_path: str | Path, folder: str) -> None:
    """Run ffmpeg in a folder, with ``audio`` on its standard input.

    Raises:
        OutputError: with the first line of ffmpeg's messages.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stderr=stderr)
        try:
            with suppress(OSError):  # ffmpeg ended early: its messages say why
                for part in audio:
                    process.stdin.write(part)
            with suppress(OSError):
                process.stdin.close()
            process.wait()
        finally:
            if process.poll() is None:  # an error or Ctrl+C: do not leave it writing
                process.kill()
                process.wait()
        if process.returncode:
            stderr.seek(0)
            lines = stderr.read().decode(errors="replace").strip().splitlines()
            disk_full = os.strerror(errno.ENOSPC)
            is_disk_full = any(disk_full in line for line in lines)
            reason = disk_full if is_disk_full else " ".join(lines[:1])
            reason = re.sub(r"^(\[[^]]*\] )+", "", reason) or _describe_exit(process.returncode)
            raise OutputError(tr("cannot write {path}: {why}", path=output_path, why=reason))


def _describe_exit(code: int) -> str:
    """An exit without a message: the name of the signal (as from a limit of the shell), if any."""
    return (signal.strsignal(-code) if code < 0 else None) or f"ffmpeg: {code}"
