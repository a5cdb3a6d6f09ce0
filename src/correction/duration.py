"""How long the mended film is where its picture and its sound are not of one length."""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError
from ..i18n.messages import tr
from ..media.reader import audio_blocks
from ..media.streams import VideoSource
from ..scoring.timeline import Timeline

# pad: the picture is kept, the sound is cut where it ends, or continued with silence. trim: the
# picture, too, is cut where the sound ends. loop: the picture begins anew until the sound ends.
FITS = ("pad", "trim", "loop")


@dataclass(frozen=True)
class DurationMatch:
    """The length of the film to make.

    Attributes:
        length_s: seconds of picture and sound.
        n_pictures: of the picture, all times that it is shown together.
        times: how many times the picture is shown, the last one perhaps in part.
        cut: whether some of the picture is left out at the end.
    """

    length_s: float
    n_source_frames: int
    times: int = 1
    cut: bool = False


def check_fit(fit: str) -> None:
    """Raises ConfigError unless it is one of ``FITS``."""
    if fit not in FITS:
        raise ConfigError(
            tr("fit {fit}: allowed: {known}", fit=fit, known=", ".join(FITS))
        )  # fmt: skip


def match_duration(film: VideoSource, fit: str, sound_end_s: float, copied: bool) -> DurationMatch:
    """The length of a film.

    Args:
        film: its pictures.
        fit: one of ``FITS``.
        sound_end_s: where on the picture's clock the mended sound ends.
        copied: whether the pictures are taken over as they are, so that they can end only where
            ``Film.cut`` says.
    """
    whole = DurationMatch(film.length_s, film.cut(film.length_s, copied)[0])
    frame_s = 1 / film.fps
    if fit == "trim" and sound_end_s < film.length_s - frame_s:
        count, end_s = film.cut(max(sound_end_s, frame_s), copied)
        return DurationMatch(end_s, count, cut=count < whole.n_source_frames)
    if fit == "loop" and sound_end_s > film.length_s + frame_s:
        full = int((sound_end_s - frame_s) // film.length_s)
        count, end_s = film.cut(sound_end_s - full * film.length_s, copied)
        return DurationMatch(
            full * film.length_s + end_s, full * whole.n_source_frames + count, full + 1,
            count < whole.n_source_frames,
        )  # fmt: skip
    return whole


def audio_end(path: str | Path, rate: int, timeline: Timeline) -> float:
    """Where on the picture's clock, in seconds, a sound ends that is laid along a timeline.

    The whole sound is decoded: what headers say of its length is not always true.

    Args:
        path: the sound.
        rate: Hz.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    ends = (start + block.shape[1] for start, block in audio_blocks(path, rate))
    length_s = max(ends) / rate
    for piece in reversed(timeline.pieces):
        # t − offset(t) / 1000 = length, on the line of the piece
        pace = 1 - piece.slope / 1000
        end_s = (length_s + (piece.offset_ms - piece.slope * piece.start_s) / 1000) / pace
        if end_s >= piece.start_s:
            return end_s if piece is timeline.pieces[-1] else min(end_s, piece.end_s)
    return 0.0
