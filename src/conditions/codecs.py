"""Lossy codecs as chat apps, webcams and phones use them, through the encoders of PyAV."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..core.constants import SAMPLE_RATE
from .video_effects import TimedFrame

TIME_BASE = Fraction(1, 1000)
MAX_DELAY_S = 0.15  # of an audio codec


@dataclass(frozen=True)
class VideoCoding:
    """How video is encoded.

    Attributes:
        codec: name of the encoder.
        bit_rate: bits per second; None: nearly lossless.
        options: of the encoder.
    """

    codec: str
    bit_rate: int | None
    options: tuple[tuple[str, str], ...] = ()


NEARLY_LOSSLESS = VideoCoding("libx264", None, (("preset", "veryfast"), ("crf", "16")))
VIDEO_CODECS = {
    "libx264": (("preset", "veryfast"),),
    "libx265": (("preset", "ultrafast"), ("x265-params", "log-level=none")),
    "libvpx": (("deadline", "realtime"), ("cpu-used", "8")),
    "libvpx-vp9": (("deadline", "realtime"), ("cpu-used", "8")),
}
# name: (sample rate in Hz, lowest and highest bit rate in kbit/s)
AUDIO_CODECS = {
    "libopus": (48_000, 12, 32), "aac": (16_000, 16, 32), "libopencore_amrnb": (8_000, 4.75, 12.2),
}  # fmt: skip
AMR_KBITS = (4.75, 5.15, 5.9, 6.7, 7.4, 7.95, 10.2, 12.2)


def draw_video_coding(rng: np.random.Generator) -> VideoCoding:
    """A codec at 80 to 400 kbit/s with long groups of frames."""
    codec = str(rng.choice(list(VIDEO_CODECS)))
    bit_rate = int(1000 * np.exp(rng.uniform(np.log(80), np.log(400))))
    return VideoCoding(codec, bit_rate, (*VIDEO_CODECS[codec], ("g", "250")))


def write_degraded(
    path: str | Path, frames: Iterable[TimedFrame], coding: VideoCoding, samples: np.ndarray
) -> None:
    """Encode frames at their times, and audio without loss, into an .mkv file.

    Args:
        path: the file to write.
        frames: with even sides, all of one size.
        samples: float32 [n], mono, 16 kHz; the first is at time 0.

    Raises:
        av.error.FFmpegError, OSError: it cannot be written.
    """
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream(coding.codec, rate=25, options=dict(coding.options))
        video.pix_fmt, video.codec_context.thread_count = "yuv420p", 1
        video.codec_context.time_base = TIME_BASE
        if coding.bit_rate:
            video.bit_rate = coding.bit_rate
        audio = container.add_stream("flac", rate=SAMPLE_RATE)
        audio.layout = "mono"
        for time_s, bgr in frames:
            if not video.codec_context.is_open:
                video.height, video.width = bgr.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(bgr), format="bgr24")
            frame.pts, frame.time_base = round(time_s / TIME_BASE), TIME_BASE
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(_audio_frame(samples, SAMPLE_RATE)))
        container.mux(audio.encode(None))


def recode_audio(samples: np.ndarray, rng: np.random.Generator, _others=()) -> np.ndarray:
    """Audio through Opus, AAC or AMR at a low bit rate, and back: float32 [n], 16 kHz.

    The delay of the codec is measured by cross-correlation and removed.
    """
    codec = str(rng.choice(list(AUDIO_CODECS)))
    rate, low, high = AUDIO_CODECS[codec]
    kbits = float(rng.choice(AMR_KBITS)) if codec.endswith("amrnb") else rng.uniform(low, high)
    decoded = _through(samples, codec, rate, round(kbits * 1000))
    delay = _delay(samples, decoded)
    decoded = np.pad(decoded, (max(0, -delay), 0))[max(0, delay) :]
    return np.pad(decoded, (0, max(0, len(samples) - len(decoded))))[: len(samples)]


def _through(samples: np.ndarray, codec: str, rate: int, bit_rate: int) -> np.ndarray:
    """Encoded and decoded audio, float32 [m], 16 kHz, delayed by the codec."""
    file = io.BytesIO()
    with av.open(file, "w", format="amr" if codec.endswith("amrnb") else "matroska") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", bit_rate
        for frame in _resampled(samples, rate, stream.codec_context.format.name):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    parts = []
    with av.open(file) as container:
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray().ravel() for part in resampler.resample(frame)]
    parts += [part.to_ndarray().ravel() for part in resampler.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _resampled(samples: np.ndarray, rate: int, sample_format: str) -> list[av.AudioFrame]:
    resampler = av.AudioResampler(sample_format, "mono", rate)
    return [*resampler.resample(_audio_frame(samples, SAMPLE_RATE)), *resampler.resample(None)]


def _audio_frame(samples: np.ndarray, rate: int) -> av.AudioFrame:
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def _delay(samples: np.ndarray, decoded: np.ndarray) -> int:
    """By how many samples ``decoded`` is late: the peak of the cross-correlation."""
    from scipy.signal import correlate, correlation_lags

    if not len(samples) or not len(decoded):
        return 0
    correlation = correlate(decoded.astype(np.float64), samples.astype(np.float64), method="fft")
    lags = correlation_lags(len(decoded), len(samples))
    near = np.abs(lags) <= MAX_DELAY_S * SAMPLE_RATE
    return int(lags[near][np.argmax(correlation[near])])
