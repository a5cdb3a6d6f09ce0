"""The ffmpeg command that muxes a video, its corrected audio and all other streams."""

import os
import re
import shutil
from fractions import Fraction
from itertools import chain
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from ..core.errors import MediaError, OutputError
from ..i18n.messages import tr
from ..media.container import path_argument
from ..media.formats import input_options
from ..media.reader import audio_blocks
from ..media.source_note import note_tag
from ..media.stream_choice import StreamChoice
from ..media.streams import StreamInfo, VideoSource, default_layout, read_cover_art
from ..scoring.timeline import Segment, Timeline
from .audio_codecs import AudioEncoding, choose_encoding, describe_losses
from .duration import DurationMatch
from .retiming import interleave, retime
from .stream_mapping import (
    COVER_ART_TYPES,
    OutputContainer,
    describe_stream,
    map_streams,
    needs_metadata_tags,
)

ANNEX_B_FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}  # required by avi
APPLE_CONTAINERS = ("mp4", "mov", "ipod")
# As the reader does (media.frame.deinterlace): frames stay as many, of their first field.
DEINTERLACER = "bwdif=mode=send_frame:deint=interlaced"
HDR_ENCODERS = ("libx264", "libvpx-vp9")  # of 10 bits, with the transfer in the stream
GLOBAL_OPTIONS = ("-loglevel", "error", "-y", "-copyts")
LOOP_LIST = "looped.txt"
NO_STREAM = "65535?"  # a map that matches no stream and, being optional, does not fail


class OutputCommand:
    """An ffmpeg command, composed stream by stream in the order of the output.

    The source keeps its clock, shifted so that the first frame is at zero, where audio starts.

    Args:
        source_path: the video.
        source: what ``read_source`` says of it.
        container: of the output.
        output_path: the name of the output, for messages.
        folder: for temporary files, until the command has run; it runs there.

    Attributes:
        notes: for the user, what could not be preserved.
    """

    def __init__(
        self, source_path: str | Path, source: VideoSource, container: OutputContainer,
        output_path: str | Path, folder: Path,
    ):  # fmt: skip
        self._source_path, self._source, self._container = source_path, source, container
        self._output_path, self._folder = output_path, folder
        self._suffix = Path(output_path).suffix.lower()
        offset = f"{-source.first_frame_s:.6f}"
        self._input = _open(
            path_argument(source_path), itsoffset=offset, **input_options(source_path)
        )
        self._streams: list[ffmpeg.Stream] = []
        self._options: dict[str, object] = {"map_metadata": 0, "map_chapters": 0}
        self._repeated: list[str] = []  # options given several times
        self.notes: list[str] = []

    def add_video(self, target: DurationMatch, copied: bool) -> None:
        """The video, stream-copied or re-encoded."""
        source, options = self._source, {}
        video = self._looped(target.n_plays) if target.n_plays > 1 else self._input
        if target.n_plays > 1 or target.is_cut:
            options["frames"] = target.n_frames
        if target.n_plays == 1 and target.is_cut:  # chapters and subtitles end with the video
            self._options["t"] = f"{target.duration_s + 0.001:.6f}"
        if copied:
            options["c"] = "copy"
            if self._container.name == "avi" and source.video.codec in ANNEX_B_FILTERS:
                options["bsf"] = ANNEX_B_FILTERS[source.video.codec]
            if self._container.name in APPLE_CONTAINERS and source.video.codec == "hevc":
                options["tag"] = "hvc1"  # the default, hev1, is refused by Apple's players
        else:
            # Of the stream, not a filter node: -filter_complex drops the stream's tags.
            filters = ["pad=ceil(iw/2)*2:ceil(ih/2)*2"]
            if source.frame_times_s is None:
                filters.insert(0, "setpts=round(N/FRAME_RATE/TB)")
            if source.is_interlaced:
                filters.insert(0, DEINTERLACER)
            encoder = self._choose_video_encoder()
            keeps_hdr = bool(source.hdr) and encoder.get("c") in HDR_ENCODERS
            pixel_format = "yuv420p10le" if keeps_hdr else "yuv420p"
            options |= {"filter": ",".join(filters), "fps_mode": "passthrough",
                        "pix_fmt": pixel_format, **encoder}  # fmt: skip
            self._note_encoding(keeps_hdr)
        if self._container.name == "avi" and source.is_constant_rate:  # it stores only a rate
            options["r"] = Fraction(source.fps).limit_denominator(1001)
            if not copied:
                options["fps_mode"] = "cfr"
        disposition = self._used_disposition(source.video)
        if disposition != source.video.disposition:
            options["disposition"] = disposition
        self._add(video[str(source.video.index)], options)

    def _note_encoding(self, keeps_hdr: bool) -> None:
        source = self._source
        self.notes.append(
            tr("the video was re-encoded: {suffix} cannot hold {codec} without re-encoding",
               suffix=self._suffix, codec=source.video.codec)
        )  # fmt: skip
        if source.is_interlaced:
            self.notes.append(tr("the video was deinterlaced"))
        if keeps_hdr:
            self.notes.append(tr("the video stays HDR ({transfer})", transfer=source.hdr))
        elif source.hdr:
            self.notes.append(
                tr("the video is HDR ({transfer}), which {suffix} files cannot signal: its colours "
                   "will look pale; use .mp4, .mov or .mkv",
                   transfer=source.hdr, suffix=self._suffix)
            )  # fmt: skip

    def add_audio(self, audio: StreamInfo, replaced: StreamInfo | None) -> None:
        """The corrected audio, which comes on standard input as float32, interleaved.

        Args:
            audio: the stream it was made from.
            replaced: the audio stream of the source that it replaces, or None.
        """
        encoding = choose_encoding(audio, self._output_path)
        self.notes += describe_losses(audio, encoding, self._output_path)
        language = (replaced.tags if replaced else {}).get("language")
        tags = ({"language": language} if language else {}) | audio.tags
        disposition = self._used_disposition(replaced) if replaced else "default"
        self._add_encoded("pipe:", audio, encoding, {"tags": tags, "disposition": disposition})

    def add_further_audio(
        self, stream: StreamInfo, timeline: Timeline | None, duration_s: float
    ) -> None:
        """Another audio stream of the source.

        Args:
            stream: which.
            timeline: along which it is retimed, too; None: it is not moved.
            duration_s: of the video.
        """
        label = describe_stream(stream)
        if timeline is None and stream.codec in self._container.codecs:
            self._add_copied(stream, "copy")
            self.notes.append(tr("{track} copied unchanged", track=label))
            return
        path, sample_rate = self._folder / f"{stream.index}.f32", stream.sample_rate or 48000
        try:
            chosen = StreamChoice(self._source.video.number + 1, stream.number + 1)
            blocks = audio_blocks(self._source_path, sample_rate, streams=chosen)
            start, block = next(blocks)
        except MediaError:
            self.notes.append(tr("{track} dropped: it cannot be decoded", track=label))
            return
        applied = timeline or Timeline("constant", (Segment(0.0, float("inf"), 0.0),))
        n_samples = round(duration_s * sample_rate)
        retimed = retime(chain([(start, block)], blocks), sample_rate, applied, n_samples)
        with open(path, "wb") as file:
            file.writelines(interleave(retimed))
        self.notes.append(
            tr("{track} re-encoded: not supported by the output container", track=label)
            if timeline is None
            else tr("{track} shifted with the corrected audio track", track=label)
        )
        decoded = stream.as_decoded(sample_rate, len(block))
        encoding = choose_encoding(decoded, self._output_path)
        options = {"tags": stream.tags, "disposition": self._further_disposition(stream)}
        self._add_encoded(path_argument(path), decoded, encoding, options)

    def add_other_streams(self) -> None:
        """Subtitles, cover art and all else that the container can hold."""
        mapped_streams, notes = map_streams(self._source, self._container)
        for mapped in sorted(mapped_streams, key=lambda mapped: mapped.codec == "attach"):
            if mapped.codec == "attach":
                self._attach(mapped.stream)
            else:
                self._add_copied(mapped.stream, mapped.codec)
        self.notes += notes

    def add_source_note(self, note: str) -> None:
        """A tag that says what the output was made from, where the container has one for it."""
        if tag := note_tag(self._suffix, note):
            self._repeated += ["-metadata", tag]

    def compile(self, temporary_path: Path) -> list[str]:
        """The arguments: ffmpeg writes ``temporary_path``, reading audio from standard input."""
        options = dict(self._options)
        if needs_metadata_tags(self._source, self._container):
            options["movflags"] = "use_metadata_tags"
        # The source comes first, if only as input 0: tags and chapters are copied from there.
        streams = [self._input[NO_STREAM], *self._streams]
        output = ffmpeg.output(*streams, _to_latin1(path_argument(temporary_path)), **options)
        # ffmpeg-python gives each option once, and global_args after the file name, where ffmpeg
        # ignores options of a file. So global options come before all inputs, with the command,
        # and what is given several times (tags, attachments) before the file name.
        program = imageio_ffmpeg.get_ffmpeg_exe()  # one may be set that is relative
        program = os.path.abspath(shutil.which(program) or program)
        executable = [_to_latin1(program), *GLOBAL_OPTIONS]
        arguments = ffmpeg.compile(output, cmd=executable)
        *command, file_name = (os.fsdecode(text.encode("latin-1")) for text in arguments)
        return [*command, *self._repeated, file_name]

    def _add(self, stream: ffmpeg.Stream, options: dict) -> None:
        """Map a stream; ``options`` are those of ffmpeg, and ``tags``."""
        number = len(self._streams)
        for key, value in options.pop("tags", {}).items():
            self._repeated += [f"-metadata:s:{number}", f"{key}={value}"]
        self._options |= {f"{name}:{number}": value for name, value in options.items()}
        self._streams.append(stream)

    def _used_disposition(self, used: StreamInfo) -> str:
        """Of the video or audio that is used: the default one, where another one was."""
        others = [other for other in self._source.streams if other.kind == used.kind]
        if used.is_default or not any(other.is_default for other in others):
            return used.disposition
        return "+".join(["default", *used.flags])

    def _further_disposition(self, stream: StreamInfo) -> str:
        """Of a stream beside the one of its kind that is used, see ``_used_disposition``."""
        used = {"video": self._source.video, "audio": self._source.audio}.get(stream.kind)
        if used is None or used.is_default or not stream.is_default:
            return stream.disposition
        return "+".join(flag for flag in stream.flags if flag != "default") or "0"

    def _add_copied(self, stream: StreamInfo, codec: str) -> None:
        disposition = self._further_disposition(stream)
        options = {"c": codec, "disposition": disposition, "tags": stream.tags}
        self._add(self._input[str(stream.index)], options)

    def _attach(self, cover_art: StreamInfo) -> None:
        """An attachment: ffmpeg numbers these after all mapped streams."""
        media_type = COVER_ART_TYPES[cover_art.codec]
        path = self._folder / f"cover{cover_art.number or ''}.{media_type.rpartition('/')[2]}"
        path.write_bytes(read_cover_art(self._source_path, cover_art))
        number = len(self._streams) + self._repeated.count("-attach")
        self._repeated += ["-attach", path_argument(path)]
        self._repeated += [f"-metadata:s:{number}", f"mimetype={media_type}"]

    def _add_encoded(
        self, path: str, audio: StreamInfo, encoding: AudioEncoding, options: dict
    ) -> None:
        """Raw float32 samples of a file, encoded."""
        options = {"c": encoding.codec, "ar": encoding.sample_rate, **options}
        layout = audio.layout
        if encoding.codec == "libopus":
            layout = default_layout(audio.channels)
            options["vbr"] = "off"  # else the encoder chooses the bitrate
        if encoding.channels != audio.channels:
            options["ac"] = encoding.channels
        if encoding.bit_rate:
            options["b"] = encoding.bit_rate
        if encoding.depth:
            options["sample_fmt"] = encoding.depth
        raw = _open(path, f="f32le", ar=audio.sample_rate, ch_layout=layout)
        self._add(raw["0"], options)

    def _looped(self, n_plays: int) -> ffmpeg.Stream:
        """The source several times over, as an input."""
        name = self._link_source()
        is_link = name is not None
        if not is_link:
            name = self._quoted_source()
        entry = f"file {name}\nduration {self._source.duration_s:.6f}\n"
        script = self._folder / LOOP_LIST
        script.write_bytes(os.fsencode("ffconcat version 1.0\n" + n_plays * entry))
        offset = f"{self._source.start_s - self._source.first_frame_s:.6f}"
        options = input_options(self._source_path)
        options["format_whitelist"] = f"concat,{options['format_whitelist']}"
        return _open(
            LOOP_LIST, f="concat", safe=int(is_link), auto_convert=0, itsoffset=offset, **options
        )

    def _link_source(self) -> str | None:
        """A link to the source in the folder, whose name can stand in a list as it is; None: the
        system cannot make one there."""
        suffix = re.search(r"(\.[A-Za-z0-9]+)?$", Path(self._source_path).name)[0]
        link = self._folder / f"source{suffix}"
        for make_link in (os.symlink, os.link):
            try:
                make_link(path_argument(self._source_path), link)
            except OSError:  # Windows allows the first to some, and disks not the second
                continue
            return link.name
        return None

    def _quoted_source(self) -> str:
        """The name of the source as a list takes it.

        Raises:
            OutputError: no quotes keep its line breaks from beginning another entry.
        """
        path = path_argument(self._source_path)
        if re.search(r"[\r\n]", path):
            raise OutputError(
                tr("cannot write {path}: {why}", path=self._output_path,
                   why=tr("a video with a line break in its name cannot be repeated; rename it"))
            )  # fmt: skip
        return "'" + path.replace("'", r"'\''") + "'"

    def _choose_video_encoder(self) -> dict:
        """Options of a good encoder for the container."""
        if self._suffix == ".webm":
            return {"c": "libvpx-vp9", "crf": 24, "b": 0, "deadline": "good", "cpu-used": 4,
                    "row-mt": 1}  # fmt: skip
        if "h264" in self._container.codecs and self._suffix not in (".mpg", ".mpeg", ".wmv"):
            return {"c": "libx264", "crf": 18}
        return {"q": 3}


def _open(path: str, **options) -> ffmpeg.Stream:
    """An input of the command."""
    return ffmpeg.input(_to_latin1(path), **options)


def _to_latin1(argument: str) -> str:
    """Its bytes as characters: ffmpeg-python encodes arguments, and names need not be UTF-8."""
    return os.fsencode(argument).decode("latin-1")
