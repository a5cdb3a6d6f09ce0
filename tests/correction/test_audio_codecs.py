"""The encoding that is chosen for a mended sound."""

import pytest

from src.correction.audio_codecs import choose_encoding, what_is_lost
from src.media.streams import StreamInfo

SUFFIXES = ["mp4", "mov", "m4v", "3gp", "flv", "ts", "mkv", "webm", "avi", "mpg", "wmv"]


def sound(
    codec="aac", bit_rate=128_000, rate=48000, channels=2, sample_format="fltp"
) -> StreamInfo:
    return StreamInfo(0, 0, "audio", codec, bit_rate, rate=rate, channels=channels,
                 sample_format=sample_format)  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_no_bitrate_is_lower_than_the_source(suffix, channels):
    for codec in ("aac", "mp3", "vorbis", "opus", "ac3"):
        for bit_rate in (24_000, 96_000, 160_000, 256_000 * channels, 0):
            for rate in (44100, 48000):
                made = choose_encoding(sound(codec, bit_rate, rate, channels), f"a.{suffix}")
                # mp2 ends at 192 kbit/s for one channel, at 384 for two
                most = 192_000 * channels if made.codec == "mp2" else 10**9
                assert made.lossless or made.bit_rate >= min(bit_rate, most)
                assert made.channels == channels and made.rate >= rate
                assert not what_is_lost(sound(codec, bit_rate, rate, channels), made, "a.x")


def test_sounds_that_fit_nowhere_are_said_to_lose_something():
    wide = sound("flac", 0, 192_000, 6, "s32")
    assert choose_encoding(wide, "a.mkv").rate == 192_000
    assert not what_is_lost(wide, choose_encoding(wide, "a.mkv"), "a.mkv")
    assert what_is_lost(wide, choose_encoding(wide, "a.mp4"), "a.mp4") == [
        "the sound has 96000 samples a second instead of 192000: .mp4 files hold no more"
    ]
    notes = what_is_lost(wide, choose_encoding(wide, "a.wmv"), "a.wmv")
    assert notes[1] == "the sound has 2 channels instead of 6: .wmv files hold no more"


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
    made = choose_encoding(sound(codec, 128_000, 48000, 2, sample_format), f"a.{suffix}")
    assert (made.codec, made.depth) == (expected, depth)


def test_lossless_sounds_are_compressed_generously():
    assert choose_encoding(sound("flac", 700_000), "a.mp4").bit_rate >= 300_000
    assert choose_encoding(sound("pcm_s16le", 768_000, channels=1), "a.webm").bit_rate >= 150_000
