"""The ffmpeg command that puts a picture, its mended sound and all else into one file."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from ..core.errors import MediaError
from ..i18n.messages import tr
from ..media.container import path_argument
from ..media.reader import audio_blocks
from ..media.streams import StreamInfo, VideoSource, layout_of, read_cover_art
from ..scoring.timeline import Segment, Timeline
from .audio_codecs import AudioEncoding, choose_encoding, what_is_lost
from .duration import DurationMatch
from .retiming import retime
from .stream_mapping import COVERS, map_streams, name_of, needs_own_tags

TURNED = ("mp4", "mov", "ipod", "3gp", "matroska", "webm")  # can say that pictures are turned
START_CODES = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}  # as avi has them


def can_copy(film: VideoSource, container: str, held: set[str], repeated: bool) -> bool:
    """Whether a container can take over the pictures as they are.

    Args:
        film: the pictures.
        container: name of the output's format.
        held: codecs it can hold.
        repeated: whether they are shown more than once.
    """
    # ffmpeg stamps pictures anew that it copies out of a program stream, and wrongly.
    movable = film.times is not None and film.container != "mpeg" and container != "asf"
    fits = film.container == container or (film.picture.codec in held and movable)
    fits = fits and (not film.rotation or container in TURNED)
    return fits and (not repeated or (movable and film.whole))


class OutputCommand:
    """An ffmpeg command, put together track by track in the order of the output.

    The film is on its own clock, moved so that the first picture is at zero, where sounds start.

    Args:
        video_path: the film.
        film: what ``read_source`` says of it.
        container: name of the output's format.
        held: codecs that it can hold.
        output_path: the name that was asked for.
        folder: where files may lie until the command has run.

    Attributes:
        notes: for the user, what could not be kept as it was.
    """

    def __init__(
        self,
        video_path: str | Path,
        film: VideoSource,
        container: str,
        held: set[str],
        output_path: str | Path,
        folder: Path,
    ):
        self._video_path, self._film = Path(video_path), film
        self._container, self._held = container, held
        self._output_path, self._folder = output_path, folder
        self._inputs = [["-itsoffset", f"{-film.first_s:.6f}", "-i", path_argument(video_path)]]
        self._options: list[str] = []
        self._tracks = 0
        self._attached: list[tuple[Path, str]] = []
        self._end_s: float | None = None
        self.notes: list[str] = []

    def add_picture(self, length: DurationMatch, copied: bool) -> None:
        """The picture, copied or encoded anew."""
        film, source, options = self._film, 0, {}
        if length.times > 1:
            source = self._open(self._repeated(length.times))
        if length.times > 1 or length.cut:
            options["frames"] = length.n_source_frames
            self._end_s = length.length_s if length.times == 1 else None
        if copied:
            options["c"] = "copy"
            if self._container == "avi" and film.picture.codec in START_CODES:
                options["bsf"] = START_CODES[film.picture.codec]
        else:
            filters = ["pad=ceil(iw/2)*2:ceil(ih/2)*2"]
            if film.times is None:
                filters.insert(0, "setpts=round(N/FRAME_RATE/TB)")
            options |= {"filter": ",".join(filters), "fps_mode": "passthrough",
                        "pix_fmt": "yuv420p", **self._picture_encoder()}  # fmt: skip
            self.notes.append(
                tr("the picture was encoded anew: a {suffix} file cannot take over the {codec} of "
                   "this video as it is", suffix=self._suffix, codec=film.picture.codec)
            )  # fmt: skip
        if self._container == "avi" and film.even:  # it knows no times, only one rate
            options["r"] = Fraction(film.fps).limit_denominator(1001)
            if not copied:
                options["fps_mode"] = "cfr"
        self._add(f"{source}:{film.picture.index}", options)

    def add_sound(self, sound: StreamInfo, replaced: StreamInfo | None) -> None:
        """The mended sound, which comes on standard input as float32, interleaved.

        Args:
            sound: where it comes from.
            replaced: the film's track whose place it takes, or None.
        """
        made = choose_encoding(sound, self._output_path)
        self.notes += what_is_lost(sound, made, self._output_path)
        language = (replaced.tags if replaced else {}).get("language")
        tags = ({"language": language} if language else {}) | sound.tags
        self._encode("pipe:", sound, made, tags, replaced.disposition if replaced else "default")

    def add_further_sound(
        self, track: StreamInfo, timeline: Timeline | None, length_s: float
    ) -> None:
        """Another sound track of the film.

        Args:
            track: which.
            timeline: along which it is laid, too; None: it stays where it is.
            length_s: of the picture.
        """
        if timeline is None and track.codec in self._held:
            self._keep(track, "copy")
            self.notes.append(tr("{track} is kept as it is", track=name_of(track)))
            return
        moved = timeline or Timeline("constant", (Segment(0.0, float("inf"), 0.0),))
        path, rate = self._folder / f"{track.index}.f32", track.rate or 48000
        try:
            blocks = audio_blocks(self._video_path, rate, number=track.number)
            start, block = next(blocks)
        except MediaError:
            self.notes.append(
                tr("{track} is left out: it cannot be decoded", track=name_of(track))
            )  # fmt: skip
            return
        laid = retime(chain([(start, block)], blocks), rate, moved, round(length_s * rate))
        with open(path, "wb") as file:
            file.writelines(interleaved(laid))
        self.notes.append(
            tr("{track} is encoded anew: the output cannot hold it", track=name_of(track))
            if timeline is None
            else tr("{track} is moved like the first one", track=name_of(track))
        )
        track = track.decoded(rate, len(block))
        made = choose_encoding(track, self._output_path)
        self._encode(str(path), track, made, track.tags, track.disposition)

    def add_other_tracks(self) -> None:
        """Subtitles, covers and all else that the container can hold."""
        kept, notes = map_streams(self._film, self._container, self._held)
        for one in kept:
            if one.codec == "attach":
                self._attach(one.track)
            else:
                self._keep(one.track, one.codec)
        self.notes += notes

    def line(self, aside: Path) -> list[str]:
        """The command; it writes ``aside`` and reads the mended sound from standard input."""
        first = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-copyts"]
        about = ["-map_metadata", "0", "-map_chapters", "0"]
        if needs_own_tags(self._film, self._container):
            about += ["-movflags", "use_metadata_tags"]
        if self._end_s is not None:  # chapters and subtitles end with the picture
            about += ["-t", f"{self._end_s + 0.001:.6f}"]
        for number, (path, kind) in enumerate(self._attached, self._tracks):
            about += ["-attach", path_argument(path), f"-metadata:s:{number}", f"mimetype={kind}"]
        return [*first, *chain(*self._inputs), *self._options, *about, path_argument(aside)]

    @property
    def _suffix(self) -> str:
        return Path(self._output_path).suffix.lower()

    def _open(self, source: list[str]) -> int:
        """One more input; its number."""
        self._inputs.append(source)
        return len(self._inputs) - 1

    def _add(self, source: str, options: dict) -> None:
        self._options += ["-map", source]
        for key, value in options.items():
            values = value if isinstance(value, list) else [value]
            for one in values:
                scope = "s:" if key == "metadata" else ""
                self._options += [f"-{key}:{scope}{self._tracks}", str(one)]
        self._tracks += 1

    def _keep(self, track: StreamInfo, codec: str) -> None:
        tags = [f"{key}={value}" for key, value in track.tags.items()]
        self._add(
            f"0:{track.index}", {"c": codec, "disposition": track.disposition, "metadata": tags}
        )

    def _attach(self, cover: StreamInfo) -> None:
        kind = COVERS[cover.codec]
        path = self._folder / f"cover{cover.number or ''}.{kind.rpartition('/')[2]}"
        path.write_bytes(read_cover_art(self._video_path, cover))
        self._attached.append((path, kind))

    def _encode(
        self, source: str, sound: StreamInfo, made: AudioEncoding, tags: dict, disposition: str
    ) -> None:
        layout = sound.layout
        options = {"c": made.codec, "ar": made.rate, "disposition": disposition}
        if made.codec == "libopus" and layout != layout_of(sound.channels):
            layout = layout_of(sound.channels)
        if made.channels != sound.channels:
            options["ac"] = made.channels
        if made.bit_rate:
            options["b"] = made.bit_rate
        if made.codec == "libopus":
            options["vbr"] = "off"  # else it takes what it thinks fit
        if made.depth:
            options["sample_fmt"] = made.depth
        options["metadata"] = [f"{key}={value}" for key, value in tags.items()]
        number = self._open(
            ["-f", "f32le", "-ar", str(sound.rate), "-ch_layout", layout, "-i", source]
        )
        self._add(f"{number}:0", options)

    def _repeated(self, times: int) -> list[str]:
        """The film several times over, as an input."""
        film = self._film
        path = path_argument(self._video_path).replace("'", r"'\''")
        entry = f"file '{path}'\nduration {film.length_s:.6f}\n"
        script = self._folder / "repeated.txt"
        script.write_text("ffconcat version 1.0\n" + times * entry, encoding="utf-8")
        return ["-itsoffset", f"{film.begin_s - film.first_s:.6f}", "-f", "concat", "-safe", "0",
                "-auto_convert", "0", "-i", path_argument(script)]  # fmt: skip

    def _picture_encoder(self) -> dict:
        """Options of a good encoder for the container."""
        if self._suffix == ".webm":
            return {"c": "libvpx-vp9", "crf": 24, "b": 0, "deadline": "good", "cpu-used": 4,
                    "row-mt": 1}  # fmt: skip
        if "h264" in self._held and self._suffix not in (".mpg", ".mpeg", ".wmv"):
            return {"c": "libx264", "crf": 18}
        return {"q": 3}


def interleaved(blocks: Iterable[np.ndarray]) -> Iterator[bytes]:
    """float32 [channels, n] each -> what ffmpeg reads as f32le."""
    for block in blocks:
        yield block.T.astype("<f4").tobytes()
