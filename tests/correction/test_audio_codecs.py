"""The encoding chosen for the corrected audio."""

import pytest

from src.correction.audio_codecs import choose_encoding, describe_losses
from src.media.streams import StreamInfo

SUFFIXES = ["mp4", "mov", "m4v", "3gp", "flv", "ts", "mkv", "webm", "avi", "mpg", "wmv"]


def audio(
    codec="aac", bit_rate=128_000, rate=48000, channels=2, sample_format="fltp"
) -> StreamInfo:
    return StreamInfo(0, 0, "audio", codec, bit_rate, sample_rate=rate, channels=channels,
                      sample_format=sample_format)  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_bitrate_is_never_below_the_source(suffix, channels):
    for codec in ("aac", "mp3", "vorbis", "opus", "ac3"):
        for bit_rate in (24_000, 96_000, 160_000, 256_000 * channels, 0):
            for rate in (44100, 48000):
                encoding = choose_encoding(audio(codec, bit_rate, rate, channels), f"a.{suffix}")
                # mp2 ends at 192 kbit/s for one channel, at 384 for two
                max_bit_rate = 192_000 * channels if encoding.codec == "mp2" else 10**9
                assert encoding.is_lossless or encoding.bit_rate >= min(bit_rate, max_bit_rate)
                assert encoding.channels == channels and encoding.sample_rate >= rate
                assert not describe_losses(audio(codec, bit_rate, rate, channels), encoding, "a.x")


def test_reduced_sample_rates_and_channels_are_noted():
    wide = audio("flac", 0, 192_000, 6, "s32")
    assert choose_encoding(wide, "a.mkv").sample_rate == 192_000
    assert not describe_losses(wide, choose_encoding(wide, "a.mkv"), "a.mkv")
    assert describe_losses(wide, choose_encoding(wide, "a.mp4"), "a.mp4") == [
        "audio sample rate reduced from 192000 to 96000 Hz: the limit of .mp4 files"
    ]
    notes = describe_losses(wide, choose_encoding(wide, "a.wmv"), "a.wmv")
    assert notes[1] == "audio reduced from 6 to 2 channels: the limit of .wmv files"


@pytest.mark.parametrize(
    ("codec", "sample_format", "suffix", "expected", "depth"),
    [
        ("pcm_s16le", "s16", "mkv", "flac", "s16"), ("pcm_s24le", "s32", "mkv", "flac", "s32"),
        ("pcm_f32le", "flt", "mkv", "pcm_f32le", ""), ("alac", "s16p", "mov", "pcm_s16le", ""),
        ("flac", "s32", "mov", "pcm_s24le", ""), ("pcm_s24le", "s32", "avi", "pcm_s24le", ""),
        ("aac", "fltp", "avi", "pcm_s16le", ""), ("pcm_s16le", "s16", "mp4", "aac", ""),
        ("aac", "fltp", "mkv", "aac", ""), ("opus", "fltp", "mkv", "libopus", ""),
        ("pcm_mulaw", "s16", "mkv", "aac", ""), ("aac", "fltp", "webm", "libopus", ""),
    ],
)  # fmt: skip
def test_codecs(codec, sample_format, suffix, expected, depth):
    encoding = choose_encoding(audio(codec, 128_000, 48000, 2, sample_format), f"a.{suffix}")
    assert (encoding.codec, encoding.depth) == (expected, depth)


def test_lossless_audio_gets_a_high_bitrate():
    assert choose_encoding(audio("flac", 700_000), "a.mp4").bit_rate >= 300_000
    assert choose_encoding(audio("pcm_s16le", 768_000, channels=1), "a.webm").bit_rate >= 150_000
