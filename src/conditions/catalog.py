"""The conditions by name: what is done to the video and to the audio of a clip."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from . import audio_effects, codecs, video_effects
from .audio_effects import AudioEffect
from .video_effects import Effect


@dataclass(frozen=True)
class Condition:
    """What is done to a clip, in this order.

    Attributes:
        video, audio: effects.
        is_coded: the video is encoded at a low bit rate.
    """

    video: tuple[Effect, ...] = ()
    audio: tuple[AudioEffect, ...] = ()
    is_coded: bool = False


CONDITIONS = {
    "video_codec": Condition(is_coded=True),
    "small_face": Condition((video_effects.small,)),
    "beauty": Condition((video_effects.beauty,)),
    "noise_reduction": Condition((video_effects.noise_reduction,)),
    "exposure": Condition((video_effects.hunting_exposure,)),
    "backlight": Condition((video_effects.backlight,)),
    "handheld": Condition((video_effects.handheld,)),
    "frame_rate": Condition((video_effects.frame_rate,)),
    "audio_codec": Condition(audio=(codecs.recode_audio,)),
    "device": Condition(audio=(audio_effects.device,)),
    "suppression": Condition(audio=(audio_effects.suppression,)),
    "gain_control": Condition(audio=(audio_effects.gain_control,)),
    "room": Condition(audio=(audio_effects.room,)),
    "noise": Condition(audio=(audio_effects.noise,)),
    "babble": Condition(audio=(audio_effects.babble,)),
    "music": Condition(audio=(audio_effects.music,)),
}
ALL = "all"  # one of each group below, one after the other
VIDEO_GROUPS = (
    ("handheld", None),
    ("backlight", "exposure", None),
    ("noise_reduction", "beauty", None),
    ("frame_rate", None),
    ("small_face", None),
    ("video_codec",),
)
AUDIO_GROUPS = (
    ("room", "room", None),
    ("noise", "babble", "music", None),
    ("device", None),
    ("suppression", "gain_control", None),
    ("audio_codec", None),
)
NAMES = (*CONDITIONS, ALL)
COPY_NAME = re.compile(rf"(?P<original>.+)~(?P<condition>{'|'.join(NAMES)})\d*(-\d+)?\.mkv")


def condition_in_name(clip: str) -> str | None:
    """The condition that a clip is a copy of, by its name: ``a/one~babble-2.mkv`` of ``babble``,
    ``a/one~all4.mkv`` (a renamed one) of ``all``; None: it is no copy."""
    copy = COPY_NAME.fullmatch(PurePosixPath(clip).name)
    return copy["condition"] if copy else None


def original_of(clip: str) -> str | None:
    """The path, without its suffix, of the clip that a clip is a copy of by its name, or None."""
    copy, path = COPY_NAME.fullmatch(PurePosixPath(clip).name), PurePosixPath(clip)
    return str(path.with_name(copy["original"])) if copy else None


def draw_condition(name: str, rng: np.random.Generator) -> Condition:
    """The condition of a name; ``ALL`` draws several that go together, as a phone has them."""
    if name != ALL:
        return CONDITIONS[name]
    drawn = [group[rng.integers(len(group))] for group in (*VIDEO_GROUPS, *AUDIO_GROUPS)]
    chosen = [CONDITIONS[choice] for choice in drawn if choice]
    return Condition(
        tuple(effect for condition in chosen for effect in condition.video),
        tuple(effect for condition in chosen for effect in condition.audio),
        any(condition.is_coded for condition in chosen),
    )
