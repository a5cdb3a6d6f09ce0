"""Which codec a mended sound gets, and at which bitrate: nothing it had is to be lost."""

from dataclasses import dataclass
from pathlib import Path

from ..i18n.messages import tr
from ..media.streams import StreamInfo

# Where AAC cannot be held, or the run-up of lossy codecs cannot be marked (avi).
CODECS = {
    ".webm": "libopus", ".avi": "pcm_s16le", ".mpg": "mp2", ".mpeg": "mp2", ".wmv": "wmav2",
}  # fmt: skip
# bits a second of each of the first two channels, of each further one, and of all at least
LEAST = 96_000, 48_000, 128_000  # of a sound that was compressed before
LEAST_OF_LOSSLESS = 160_000, 96_000, 160_000
MARGIN = 1.15  # encoders end up a few per cent beside what they are told
FINER = {"opus": 1.5, "vorbis": 1.25}  # what other codecs need for the same quality
RATES = {
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (8000, 12000, 16000, 24000, 48000),
    "mp2": (32000, 44100, 48000),
    "ac3": (32000, 44100, 48000),
    "wmav2": (8000, 11025, 16000, 22050, 32000, 44100, 48000),
}
CHANNELS = {"mp2": 2, "wmav2": 2, "ac3": 6, "libopus": 8, "aac": 8, "flac": 8}
STEPS = {  # bitrates there are, in kbit/s
    "mp2": (64, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    "ac3": (128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
}
# Samples are read as 32-bit floats, which hold 24 bits.
SHALLOW = ("u8", "u8p", "s16", "s16p")
FLOATS = ("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be")


@dataclass(frozen=True)
class AudioEncoding:
    """How a sound is encoded.

    Attributes:
        codec: ffmpeg's name of the encoder.
        rate: Hz.
        channels: how many.
        bit_rate: bits a second; 0 where nothing is left out.
        depth: ``s16`` or ``s32`` of FLAC, else "".
    """

    codec: str
    rate: int
    channels: int
    bit_rate: int = 0
    depth: str = ""

    @property
    def lossless(self) -> bool:
        return not self.bit_rate


def is_lossless(track: StreamInfo) -> bool:
    """Whether nothing was left out of a sound when it was encoded."""
    name = track.codec
    if name.startswith("pcm_"):
        return name not in ("pcm_alaw", "pcm_mulaw")
    return name in ("flac", "alac", "wavpack", "tta", "ape", "truehd", "mlp")


def choose_encoding(track: StreamInfo, output_path: str | Path) -> AudioEncoding:
    """The encoding that keeps a sound's rate, channels and bitrate, as far as the container of
    the output can: without loss in avi, and in mkv and mov what came without; else at no
    fewer bits a second than it had."""
    suffix = Path(output_path).suffix.lower()
    codec, depth = CODECS.get(suffix, "aac"), ""
    deep = track.sample_format not in SHALLOW
    if codec == "pcm_s16le" or (is_lossless(track) and suffix in (".mkv", ".mov")):
        if track.codec in FLOATS:
            codec = "pcm_f32le"
        elif suffix == ".mkv" and track.channels <= CHANNELS["flac"]:
            codec, depth = "flac", "s32" if deep else "s16"
        elif is_lossless(track) and deep:
            codec = "pcm_s24le"
        else:
            codec = "pcm_s16le"
        return AudioEncoding(codec, track.rate, track.channels, 0, depth)
    if suffix == ".mkv" and track.codec == "opus":
        codec = "libopus"
    if codec == "mp2" and track.channels > CHANNELS["mp2"]:
        codec = "ac3"
    allowed = RATES[codec]
    rate = min((one for one in allowed if one >= track.rate), default=allowed[-1])
    channels = min(track.channels, CHANNELS[codec])
    return AudioEncoding(codec, rate, channels, _bit_rate(track, codec, rate, channels))


def _bit_rate(track: StreamInfo, codec: str, rate: int, channels: int) -> int:
    one, more, least = LEAST_OF_LOSSLESS if is_lossless(track) else LEAST
    wanted = max(least, one * min(2, channels) + more * max(0, channels - 2))
    if not is_lossless(track):
        same = codec in (track.codec, f"lib{track.codec}")
        finer = 1.0 if same else FINER.get(track.codec, 1.0)
        wanted = max(wanted, track.bit_rate * finer * MARGIN)
    if codec == "aac":  # 6144 bits a channel in each block of 1024 samples, by the standard
        wanted = min(wanted, 6 * rate * channels)
    elif codec == "libopus":
        wanted = min(wanted, 256_000 * channels)
    elif codec in STEPS:
        steps = [1000 * step for step in STEPS[codec] if channels > 1 or step <= 192]
        wanted = min((step for step in steps if step >= wanted), default=steps[-1])
    return round(wanted)


def what_is_lost(track: StreamInfo, made: AudioEncoding, output_path: str | Path) -> list[str]:
    """What the container did not allow to keep, as notes."""
    suffix = Path(output_path).suffix.lower()
    found = []
    if made.rate < track.rate:
        found.append(
            tr("the sound has {now} samples a second instead of {before}: {suffix} files hold no "
               "more", now=made.rate, before=track.rate, suffix=suffix)
        )  # fmt: skip
    if made.channels < track.channels:
        found.append(
            tr("the sound has {now} channels instead of {before}: {suffix} files hold no more",
               now=made.channels, before=track.channels, suffix=suffix)
        )  # fmt: skip
    return found
