"""Codec and bitrate of the corrected audio: chosen so that no quality is lost where avoidable."""

from dataclasses import dataclass
from pathlib import Path

from ..i18n.messages import tr
from ..media.streams import StreamInfo

# Where AAC is not supported, or the encoder delay of lossy codecs cannot be signalled (avi).
CODEC_BY_SUFFIX = {
    ".webm": "libopus", ".avi": "pcm_s16le", ".mpg": "mp2", ".mpeg": "mp2", ".wmv": "wmav2",
}  # fmt: skip
# Minimum bits per second: of each of the first two channels, of each further one, in total.
MIN_BIT_RATES = 96_000, 48_000, 128_000  # for audio from a lossy codec
MIN_BIT_RATES_OF_LOSSLESS = 160_000, 96_000, 160_000
BIT_RATE_MARGIN = 1.15  # encoders miss the requested bitrate by a few per cent
BIT_RATE_FACTORS = {"opus": 1.5, "vorbis": 1.25}  # for the same quality in another codec
SAMPLE_RATES = {
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (8000, 12000, 16000, 24000, 48000),
    "mp2": (32000, 44100, 48000),
    "ac3": (32000, 44100, 48000),
    "wmav2": (8000, 11025, 16000, 22050, 32000, 44100, 48000),
}
MAX_CHANNELS = {"mp2": 2, "wmav2": 2, "ac3": 6, "libopus": 8, "aac": 8, "flac": 8}
BIT_RATES_KBPS = {  # of codecs with a fixed list
    "mp2": (64, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    "ac3": (128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
}
# Samples are decoded to 32-bit floats, which hold 24 bits.
FORMATS_UP_TO_16_BIT = ("u8", "u8p", "s16", "s16p")
FLOAT_CODECS = ("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be")


@dataclass(frozen=True)
class AudioEncoding:
    """How an audio stream is encoded.

    Attributes:
        codec: ffmpeg's name of the encoder.
        sample_rate: Hz.
        channels: how many.
        bit_rate: bits per second; 0 for a lossless codec.
        depth: ``s16`` or ``s32`` for FLAC, else "".
    """

    codec: str
    sample_rate: int
    channels: int
    bit_rate: int = 0
    depth: str = ""

    @property
    def is_lossless(self) -> bool:
        return not self.bit_rate


def is_lossless(stream: StreamInfo) -> bool:
    """Whether an audio stream is coded without loss."""
    if stream.codec.startswith("pcm_"):
        return stream.codec not in ("pcm_alaw", "pcm_mulaw")
    return stream.codec in ("flac", "alac", "wavpack", "tta", "ape", "truehd", "mlp")


def choose_encoding(stream: StreamInfo, output_path: str | Path) -> AudioEncoding:
    """The encoding that preserves sample rate, channels and bitrate as far as the container of
    the output can: lossless in avi, and in mkv and mov for a lossless source; elsewhere at no
    less than the source's bitrate."""
    suffix = Path(output_path).suffix.lower()
    codec, depth = CODEC_BY_SUFFIX.get(suffix, "aac"), ""
    over_16_bit = stream.sample_format not in FORMATS_UP_TO_16_BIT
    if codec == "pcm_s16le" or (is_lossless(stream) and suffix in (".mkv", ".mov")):
        if stream.codec in FLOAT_CODECS:
            codec = "pcm_f32le"
        elif suffix == ".mkv" and stream.channels <= MAX_CHANNELS["flac"]:
            codec, depth = "flac", "s32" if over_16_bit else "s16"
        elif is_lossless(stream) and over_16_bit:
            codec = "pcm_s24le"
        else:
            codec = "pcm_s16le"
        return AudioEncoding(codec, stream.sample_rate, stream.channels, 0, depth)
    if suffix == ".mkv" and stream.codec == "opus":
        codec = "libopus"
    if codec == "mp2" and stream.channels > MAX_CHANNELS["mp2"]:
        codec = "ac3"
    allowed = SAMPLE_RATES[codec]
    sample_rate = min((rate for rate in allowed if rate >= stream.sample_rate), default=allowed[-1])
    channels = min(stream.channels, MAX_CHANNELS[codec])
    bit_rate = _choose_bit_rate(stream, codec, sample_rate, channels)
    return AudioEncoding(codec, sample_rate, channels, bit_rate)


def _choose_bit_rate(stream: StreamInfo, codec: str, sample_rate: int, channels: int) -> int:
    lossless = is_lossless(stream)
    first_two, further, total = MIN_BIT_RATES_OF_LOSSLESS if lossless else MIN_BIT_RATES
    bit_rate = max(total, first_two * min(2, channels) + further * max(0, channels - 2))
    if not lossless:
        is_same_codec = codec in (stream.codec, f"lib{stream.codec}")
        factor = 1.0 if is_same_codec else BIT_RATE_FACTORS.get(stream.codec, 1.0)
        bit_rate = max(bit_rate, stream.bit_rate * factor * BIT_RATE_MARGIN)
    if codec == "aac":  # ISO/IEC 14496-3: 6144 bits per channel and block of 1024 samples
        bit_rate = min(bit_rate, 6 * sample_rate * channels)
    elif codec == "libopus":
        bit_rate = min(bit_rate, 256_000 * channels)
    elif codec in BIT_RATES_KBPS:
        allowed = [1000 * kbps for kbps in BIT_RATES_KBPS[codec] if channels > 1 or kbps <= 192]
        bit_rate = min((rate for rate in allowed if rate >= bit_rate), default=allowed[-1])
    return round(bit_rate)


def describe_losses(
    stream: StreamInfo, encoding: AudioEncoding, output_path: str | Path
) -> list[str]:
    """Notes on what of an audio stream the container cannot preserve."""
    suffix = Path(output_path).suffix.lower()
    notes = []
    if encoding.sample_rate < stream.sample_rate:
        notes.append(
            tr("audio sample rate reduced from {before} to {now} Hz: the limit of {suffix} files",
               now=encoding.sample_rate, before=stream.sample_rate, suffix=suffix)
        )  # fmt: skip
    if encoding.channels < stream.channels:
        notes.append(
            tr("audio reduced from {before} to {now} channels: the limit of {suffix} files",
               now=encoding.channels, before=stream.channels, suffix=suffix)
        )  # fmt: skip
    return notes
