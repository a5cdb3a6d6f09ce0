"""Pictures of any times, with a sound, into a new file: streamed, so that length costs nothing."""

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
from .reader import audio_blocks, gapless

SUFFIXES = {".mp4", ".mov", ".mkv"}  # containers of H.264 and AAC
FINEST_TICK = Fraction(1, 1_000_000)
USUAL_TICK = Fraction(1, 90_000)
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1")  # of 1, 2, … channels
BITS = 96_000  # a second and channel of sound
BT709 = 1  # of AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic
PICTURE_OPTIONS = {"preset": "veryfast", "crf": "18"}  # quick, and looks like the source


class VideoWriter:
    """See ``video_written``.

    Attributes:
        tick: of the clock of the pictures, in seconds; to be set before the first of them.
    """

    def __init__(self, container, sound_path: str | Path):
        self.tick = USUAL_TICK
        self._container, self._sound_path = container, sound_path
        self._reformatter = VideoReformatter()  # a frame's own would be prepared anew each time
        self._video = self._audio = self._waiting = None
        self._sound: Iterator[np.ndarray] = iter(())
        self._left = np.zeros((1, 0), np.float32)  # read, but not yet under a picture
        self._rate, self._samples = 0, 0

    def _begin(self, height: int, width: int, fps: float) -> None:
        if not FINEST_TICK <= self.tick <= 1:
            self.tick = USUAL_TICK
        rate = Fraction(fps).limit_denominator(1001)
        self._video = self._container.add_stream("libx264", rate=rate, options=PICTURE_OPTIONS)
        context = self._video.codec_context
        self._video.height, self._video.width, self._video.pix_fmt = height, width, "yuv420p"
        self._video.time_base = context.time_base = self.tick
        context.colorspace = context.color_primaries = context.color_trc = BT709
        self._rate = self._sound_rate()
        blocks = audio_blocks(self._sound_path, self._rate)
        start, block = next(blocks)  # a sound that cannot be read is found out before writing
        if len(block) > len(LAYOUTS):
            blocks = audio_blocks(self._sound_path, self._rate, mono=True)
            start, block = next(blocks)
        self._audio = self._container.add_stream("aac", rate=self._rate)
        self._audio.layout = LAYOUTS[len(block) - 1]
        self._audio.bit_rate = BITS * len(block)
        self._sound = gapless(chain([(start, block)], blocks), self._rate)

    def _sound_rate(self) -> int:
        from .container import probe

        rate = probe(self._sound_path).audio_rate
        return rate if rate in AAC_RATES else 48_000

    def add(self, at_s: float, pixels: np.ndarray, fps: float) -> None:
        """The next picture: uint8 BGR [height, width, 3] with even sides, all of one size.

        Args:
            at_s: when it is due, seconds after the first one.
            fps: pictures a second, about: only the encoder's budget goes by it.
        """
        if self._video is None:
            self._begin(*pixels.shape[:2], fps)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
        frame = self._reformatter.reformat(frame, format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = round(at_s / self.tick), self.tick
        before, self._waiting = self._waiting, frame
        if before is not None:
            frame.pts = max(frame.pts, before.pts + 1)
            self._show(before, frame.pts - before.pts)

    def _show(self, frame: av.VideoFrame, ticks: int) -> None:
        frame.duration = ticks
        self._container.mux(self._video.encode(frame))
        self._sound_until(float((frame.pts + ticks) * self.tick))

    def _sound_until(self, second: float) -> None:
        """The sound under the pictures so far: both go side by side, so that nothing piles up."""
        until = round(second * self._rate)
        while self._samples < until:
            if not self._left.shape[1]:
                block = next(self._sound, None)
                if block is None:
                    return
                self._left = block
            part = self._left[:, : until - self._samples]
            self._left = self._left[:, part.shape[1] :]
            self._hear(part)

    def _hear(self, samples: np.ndarray) -> None:
        layout = LAYOUTS[len(samples) - 1]
        samples = np.ascontiguousarray(samples, np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = self._rate, self._samples
        frame.time_base = Fraction(1, self._rate)
        self._samples += samples.shape[1]
        self._container.mux(self._audio.encode(frame))

    def finish(self, stands_s: float) -> None:
        """All is there; the last picture stands for so many seconds."""
        self._show(self._waiting, max(1, round(stands_s / self.tick)))
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))


@contextmanager
def video_written(path: str | Path, name: str | Path, sound_path: str | Path):
    """A ``VideoWriter`` of H.264 and AAC; the file is complete when the block ends without error.

    The sound is laid so that its first sample (``media.read_audio``) is under the first picture; it
    keeps its rate and channels as far as AAC has them, and ends with the picture.

    Args:
        path: the file to make; its suffix chooses the container (``SUFFIXES``).
        name: what the file is called in messages.
        sound_path: any file with sound.

    Raises:
        MediaError: the sound cannot be read.
        OutputError: the file cannot be written.
    """
    try:
        with av.open(str(path), "w") as container:
            yield VideoWriter(container, sound_path)
    except av.error.FFmpegError as error:
        why = error.strerror or str(error)
        raise OutputError(tr("cannot write {path}: {why}", path=name, why=why)) from None


def write_clip(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    samples: np.ndarray | None,
    sample_rate: int = SAMPLE_RATE,
) -> None:
    """Encode pictures and sound as H.264 + AAC; both begin at time zero.

    Args:
        path: the file to make; its suffix chooses the container (mp4, mov, mkv).
        frames: uint8 BGR [height, width, 3], even sides.
        fps: pictures a second.
        samples: float32 [n] mono in −1…1, or None for a silent film.
        sample_rate: Hz of ``samples``.

    Raises:
        OutputError.
    """
    with written_atomically(path) as aside, av.open(str(aside), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options=PICTURE_OPTIONS)
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=sample_rate) if samples is not None else None
        if sound is not None:
            sound.layout = "mono"
        started = False
        for index, picture in enumerate(frames):
            if not started:
                video.height, video.width = picture.shape[:2]
                started = True
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples, np.float32)[None], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = sample_rate, 0
            frame.time_base = Fraction(1, sample_rate)
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write float32 mono samples in −1…1 as 16-bit PCM."""
    with written_atomically(path) as aside, wave.open(str(aside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
