"""Writes frames at any times, with audio, to a new file: streamed, so memory stays constant."""

import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..core.constants import SAMPLE_RATE
from ..core.errors import OutputError
from ..core.files import written_atomically
from ..i18n.messages import tr
from .container import probe
from .frame import BT2020, ColourTags
from .reader import audio_blocks, fill_gaps
from .stream_choice import DEFAULT_STREAMS, StreamChoice

SUFFIXES = {".mp4", ".mov", ".mkv"}  # containers of H.264 and AAC
MIN_TIME_BASE = Fraction(1, 1_000_000)
DEFAULT_TIME_BASE = Fraction(1, 90_000)
AAC_SAMPLE_RATES = (
    8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000,
)  # fmt: skip
# By the number of channels: the layout of the source, and the one that AAC has for it.
LAYOUTS = {
    1: ("mono", "mono"), 2: ("stereo", "stereo"), 3: ("3.0", "3.0"), 4: ("4.0", "4.0"),
    5: ("5.0", "5.0"), 6: ("5.1", "5.1"), 7: ("6.1", "5.1"), 8: ("7.1", "7.1"),
}  # fmt: skip
BIT_RATE_PER_CHANNEL = 96_000  # of audio, bits per second
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# Fast, visually lossless. What x264 writes depends on its number of threads, by default that of the
# machine's cores: a fixed number gives the same pixels everywhere.
X264_OPTIONS = {"preset": "veryfast", "crf": "18", "threads": "3"}


class VideoWriter:
    """See ``open_video_writer``.

    Attributes:
        time_base: of the video stream, in seconds; to be set before the first frame.
        colour: what the numbers of ``add_planes`` mean; of ``add``, only the primaries, the
            transfer and a space of ``BT2020``. To be set before the first frame.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        audio_path: str | Path,
        streams: StreamChoice = DEFAULT_STREAMS,
    ):
        self.time_base, self.colour = DEFAULT_TIME_BASE, ColourTags()
        self._container, self._audio_path, self._streams = container, audio_path, streams
        self._reformatter = VideoReformatter()  # shared: that of a frame is created each time
        self._video = self._audio = self._pending = None
        self._blocks: Iterator[np.ndarray] = iter(())
        self._unwritten = np.zeros((1, 0), np.float32)  # audio beyond the latest frame
        self._sample_rate, self._n_samples = 0, 0

    def _add_streams(self, height: int, width: int, fps: float) -> None:
        if not MIN_TIME_BASE <= self.time_base <= 1:
            self.time_base = DEFAULT_TIME_BASE
        rate = Fraction(fps).limit_denominator(1001)
        self._video = self._container.add_stream("libx264", rate=rate, options=X264_OPTIONS)
        context = self._video.codec_context
        self._video.height, self._video.width, self._video.pix_fmt = height, width, "yuv420p"
        self._video.time_base = context.time_base = self.time_base
        context.colorspace, context.color_primaries = self.colour.space, self.colour.primaries
        context.color_trc = self.colour.transfer
        if self.colour.is_full_range:
            context.color_range = FULL_RANGE
        audio_rate = probe(self._audio_path, self._streams).audio_rate
        self._sample_rate = audio_rate if audio_rate in AAC_SAMPLE_RATES else 48_000
        blocks = audio_blocks(self._audio_path, self._sample_rate, streams=self._streams)
        start, block = next(blocks)  # audio that cannot be read raises before anything is written
        if len(block) not in LAYOUTS:
            blocks = audio_blocks(self._audio_path, self._sample_rate, True, self._streams)
            start, block = next(blocks)
        self._audio = self._container.add_stream("aac", rate=self._sample_rate)
        self._audio.layout = LAYOUTS[len(block)][1]
        self._audio.bit_rate = BIT_RATE_PER_CHANNEL * self._audio.channels
        self._blocks = fill_gaps(chain([(start, block)], blocks), self._sample_rate)

    def add(self, time_s: float, pixels: np.ndarray, fps: float) -> None:
        """Add a frame: uint8 BGR [height, width, 3] with even sides, all of one size.

        Args:
            time_s: when it is due, seconds after the first one.
            fps: approximate frames per second, used only by the encoder's rate control.
        """
        if self._video is None:
            self._add_streams(*pixels.shape[:2], fps)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
        matrix = "BT2020" if self.colour.space == BT2020 else "ITU709"
        self._add_frame(
            time_s, self._reformatter.reformat(frame, format="yuv420p", dst_colorspace=matrix)
        )

    def add_planes(self, time_s: float, planes: list[np.ndarray], fps: float) -> None:
        """Add a frame as it was decoded: luma [height, width] and two chroma planes of half its
        size, uint8, in the colours of ``colour``; else as ``add``."""
        height, width = planes[0].shape
        if self._video is None:
            self._add_streams(height, width, fps)
        image = np.concatenate([np.ravel(plane) for plane in planes])
        image = image.reshape(height * 3 // 2, width)
        self._add_frame(time_s, av.VideoFrame.from_ndarray(image, format="yuv420p"))

    def _add_frame(self, time_s: float, frame: av.VideoFrame) -> None:
        """Encode the frame before this one, whose duration is known now."""
        frame.pts, frame.time_base = round(time_s / self.time_base), self.time_base
        previous, self._pending = self._pending, frame
        if previous is not None:
            frame.pts = max(frame.pts, previous.pts + 1)
            self._write_frame(previous, frame.pts - previous.pts)

    def _write_frame(self, frame: av.VideoFrame, duration: int) -> None:
        frame.duration = duration
        self._container.mux(self._video.encode(frame))
        self._write_audio_until(float((frame.pts + duration) * self.time_base))

    def _write_audio_until(self, time_s: float) -> None:
        """The audio of the frames so far: muxed alternately, so that neither is buffered."""
        end = round(time_s * self._sample_rate)
        while self._n_samples < end:
            if not self._unwritten.shape[1]:
                block = next(self._blocks, None)
                if block is None:
                    return
                self._unwritten = block
            part = self._unwritten[:, : end - self._n_samples]
            self._unwritten = self._unwritten[:, part.shape[1] :]
            self._container.mux(self._audio.encode(self._audio_frame(part)))

    def _audio_frame(self, samples: np.ndarray) -> av.AudioFrame:
        """The next samples, float32 [channels, n]."""
        frame = _audio_frame(samples, LAYOUTS[len(samples)][0], self._sample_rate)
        frame.pts = self._n_samples
        self._n_samples += samples.shape[1]
        return frame

    def finish(self, duration_s: float) -> None:
        """Write what is pending; ``duration_s``: how long the last frame is displayed."""
        self._write_frame(self._pending, max(1, round(duration_s / self.time_base)))
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))


@contextmanager
def open_video_writer(
    path: str | Path,
    output_path: str | Path,
    audio_path: str | Path,
    streams: StreamChoice = DEFAULT_STREAMS,
    tag: str | None = None,
):
    """A ``VideoWriter`` of H.264 and AAC; the file is complete when the block ends without error.

    The first sample of the audio (``media.read_audio``) is at the first frame; the audio keeps its
    sample rate and channels as far as AAC supports them, and ends with the video.

    Args:
        path: the file to write; its suffix selects the container (``SUFFIXES``).
        output_path: the name of the output, for messages.
        audio_path: any file with audio.
        streams: which of its streams.
        tag: ``name=value``, of the file.

    Raises:
        MediaError: the audio cannot be read.
        OutputError: the file cannot be written.
    """
    try:
        with av.open(str(path), "w") as container:
            if tag:
                name, _, container.metadata[name] = tag.partition("=")
            yield VideoWriter(container, audio_path, streams)
    except av.error.FFmpegError as error:
        reason = error.strerror or str(error)
        raise OutputError(tr("cannot write {path}: {why}", path=output_path, why=reason)) from None


def _audio_frame(samples: np.ndarray, layout: str, sample_rate: int) -> av.AudioFrame:
    """float32 [channels, n] -> a frame at time 0."""
    # Interleaved: PyAV 18 crashes on frames of eight planes. The encoder converts them.
    samples = np.ascontiguousarray(samples.T, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
    return frame


def write_clip(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    samples: np.ndarray | None,
    sample_rate: int = SAMPLE_RATE,
) -> None:
    """Encode frames and audio as H.264 and AAC; both start at time zero.

    Args:
        path: the file to write; its suffix selects the container (mp4, mov, mkv).
        frames: uint8 BGR [height, width, 3], even sides.
        fps: frames per second.
        samples: float32 [n] mono in −1…1, or None for a video without audio.
        sample_rate: Hz of ``samples``.

    Raises:
        OutputError.
    """
    with written_atomically(path) as temporary, av.open(str(temporary), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options=X264_OPTIONS)
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=sample_rate) if samples is not None else None
        if audio is not None:
            audio.layout = "mono"
        for index, pixels in enumerate(frames):
            if not index:
                video.height, video.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(_audio_frame(samples[None], "mono", sample_rate)))
            container.mux(audio.encode(None))


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write float32 mono samples in −1…1 as 16-bit PCM."""
    with written_atomically(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
