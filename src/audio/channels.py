"""Which channel of audio is used alone, where the mean of all hides the speech of one."""

from collections.abc import Sequence
from dataclasses import dataclass

# The channel with most speech is used alone where the mean has less than this share of its speech
# or of its level (they cancel out), or where another one is louder than this share of its level and
# has less than that share of its speech (timecode or noise, which drowns it).
MIN_SPEECH_SHARE, MIN_LEVEL = 0.5, 0.1
LOUD, WITHOUT_SPEECH = 0.3, 0.1
MIN_SPEECH_FRAMES = 10  # fewer may be errors of the speech detector


@dataclass(frozen=True)
class Heard:
    """What there is in a channel, or in the mean of all.

    Attributes:
        speech: frames with speech.
        rms: root mean square of the samples.
    """

    speech: float
    rms: float


def better_channel(mean: Heard, channels: Sequence[Heard]) -> int | None:
    """The channel, from 1, with most speech, if it is better than the mean; else None."""
    best = max(channels, key=lambda channel: channel.speech, default=None)
    if best is None or best.speech < MIN_SPEECH_FRAMES:
        return None
    is_cancelled = mean.rms < MIN_LEVEL * best.rms
    has_less = mean.speech < MIN_SPEECH_SHARE * best.speech
    is_drowned = any(
        channel.speech < WITHOUT_SPEECH * best.speech and channel.rms > LOUD * best.rms
        for channel in channels
    )
    return channels.index(best) + 1 if is_cancelled or has_less or is_drowned else None
