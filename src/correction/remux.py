"""Encode and mux: clips from pictures and sound, and a sound moved under its picture.

With ``media`` the only room that knows containers and clocks.
"""

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

from ..core.errors import OutputError
from ..core.files import written_atomically
from ..i18n.messages import tr
from ..media.reader import audio_blocks
from ..media.streams import read_sound, read_source
from ..scoring.timeline import Segment, Timeline
from .duration import audio_end, check_fit, match_duration
from .ffmpeg_command import OutputCommand, can_copy, interleaved
from .retiming import retime
from .stream_mapping import container_of
from .verify_output import verify_output

WORTH_SAYING_S = 0.5  # of sound that is cut: less of it goes whenever sound is delayed


def shift_audio(
    video_path: str | Path, audio_path: str | Path | None, output_path: str | Path, delay_ms: float
) -> None:
    """``retime_audio`` with one offset: > 0: the sound comes later; < 0: earlier."""
    timeline = Timeline("constant", (Segment(0.0, math.inf, delay_ms),))
    retime_audio(video_path, audio_path, output_path, timeline)


def retime_audio(
    video_path: str | Path,
    audio_path: str | Path | None,
    output_path: str | Path,
    timeline: Timeline,
    fit: str = "pad",
) -> list[str]:
    """Put a sound under a video along a timeline; but for ``trim`` every picture is kept.

    The picture is copied as it is where the output's container can hold it, else encoded anew.
    The sound is encoded once (``audio_codecs.choose_encoding``). Tags, chapters, rotation,
    subtitles and further tracks go along as far as the container can hold them. Where the video's own sound
    is laid, its further sound tracks, cut with the same scissors, are laid along the same
    timeline; where another one takes the place of its first, they stay as they are.

    Args:
        video_path: the pictures.
        audio_path: the sound, its first sample at the first picture; None: the video's own.
        output_path: the file to make; its suffix names the container.
        timeline: the offsets that are mended.
        fit: what is done where picture and sound are not of one length. ``pad``: the picture is
            kept, a longer sound is cut where it ends, a shorter one continued with silence.
            ``trim``: the picture, too, is cut where a shorter sound ends (as the picture is not
            encoded anew, at the next place where it can be). ``loop``: the picture begins anew
            until a longer sound ends; under a longer picture there is silence.

    Returns:
        notes for the user: what could not be kept as it was.

    Raises:
        MediaError: an input cannot be used.
        ConfigError: no such ``fit``.
        OutputError: the suffix names no container, the file cannot be written, or is not what it
            should be when it is read again.
    """
    check_fit(fit)
    film = read_source(video_path)
    own = audio_path is None or Path(audio_path).resolve() == Path(video_path).resolve()
    source = Path(video_path if own else audio_path)
    sound = film.sounds[0] if own and film.sounds else read_sound(source)
    rate = sound.rate or 48000
    blocks = audio_blocks(source, rate)
    start, block = next(blocks)  # a sound that cannot be read is found out before writing
    sound = sound.decoded(rate, len(block))
    end_s = audio_end(source, rate, timeline)
    with written_atomically(output_path) as aside, _folder_beside(aside) as folder:
        container, held = container_of(output_path, aside)
        copied = can_copy(film, container, held, repeated=False)
        length = match_duration(film, fit, end_s, copied)
        if length.times > 1 and copied and not can_copy(film, container, held, repeated=True):
            copied = False
            length = match_duration(film, fit, end_s, copied)
        command = OutputCommand(video_path, film, container, held, output_path, Path(folder))
        command.add_picture(length, copied)
        first = film.sounds[0] if film.sounds else None
        command.add_sound(sound, first)
        for track in film.sounds[1:]:
            command.add_further_sound(track, timeline if own else None, length.length_s)
        command.add_other_tracks()
        total = round(length.length_s * rate)
        laid = retime(chain([(start, block)], blocks), rate, timeline, total)
        _run(command.line(aside), interleaved(laid), output_path)
        missing = verify_output(aside, output_path, film, length, copied)
    cut_s = end_s - length.length_s
    if cut_s > WORTH_SAYING_S:
        missing.append(
            tr("the last {s:.1f} s of the sound are cut, as the picture ends before them", s=cut_s)
        )
    return command.notes + missing


def _folder_beside(path: Path) -> tempfile.TemporaryDirectory:
    """A folder for what is too large for the system's, perhaps in memory."""
    return tempfile.TemporaryDirectory(
        prefix=f"{path.stem}-", dir=path.parent, ignore_cleanup_errors=True
    )


def _run(command: list[str], sound: Iterator[bytes], output_path: str | Path) -> None:
    """Run ffmpeg with ``sound`` on its standard input.

    Raises:
        OutputError: with ffmpeg's first words.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        try:
            with suppress(OSError):  # it ended early: its words say why
                for part in sound:
                    process.stdin.write(part)
            with suppress(OSError):
                process.stdin.close()
            process.wait()
        finally:
            if process.poll() is None:  # an error or Ctrl+C: do not leave it writing
                process.kill()
                process.wait()
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            full = os.strerror(errno.ENOSPC)
            why = full if any(full in line for line in lines) else " ".join(lines[:1])
            why = re.sub(r"^(\[[^]]*\] )+", "", why) or _end_of(process.returncode)
            raise OutputError(tr("cannot write {path}: {why}", path=output_path, why=why))


def _end_of(code: int) -> str:
    """How ffmpeg ended that said nothing: a signal by its name, as for a limit of the shell."""
    return (signal.strsignal(-code) if code < 0 else None) or f"ffmpeg: {code}"
