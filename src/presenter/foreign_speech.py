"""Speech of others, for training: a mouth must follow any voice, not only the person's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..audio.speech_synthesis import synthesise_text
from ..core.constants import SAMPLE_RATE
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from .speech import hear, read_speech
from .sync_tools import SyncTools

# Voices of espeak-ng and what they say: many sounds, in languages that shape the lips differently.
SPOKEN = (
    ("en-us", "The weather in the north will stay cold and dry for the rest of the week, with some "
     "snow above five hundred metres. You can order online and pick up your parcel at any of our "
     "shops, usually within two days."),
    ("en-gb+f2", "Thank you very much for watching this video. If you have a question, write it "
     "below and we will answer as soon as possible. Our new product saves time, money and a lot of "
     "energy, and it works with almost every phone."),
    ("en-us+f4", "Before we begin, let me show you the map of the old town. The museum opens at "
     "nine, the bus leaves from the bridge, and the best bread is baked by a family near the "
     "market."),
    ("en-gb-scotland+m7", "Good morning everybody. Today we shall look at the moon, at the planets "
     "and at a few very bright stars, which you may find with the naked eye on a clear night."),
    ("cmn+f3", "大家好，欢迎来到我们的频道。今天我给大家介绍一款非常实用的产品，"
     "它可以帮助你节省很多时间。如果你喜欢这个视频，请点赞并且关注我们。"),
    ("cmn+m4", "昨天晚上下了很大的雨，所以路上的车开得很慢。"
     "老师说，学习语言最重要的是每天坚持练习。"),
    ("cmn+f1", "春天来了，公园里的花都开了，孩子们在草地上跑来跑去。外婆买了牛奶、面包和一些水果，"
     "准备做一顿丰富的早饭。"),
    ("de+f2", "Guten Abend, meine Damen und Herren. Die Verhandlungen über den neuen Haushalt "
     "dauern an, eine Einigung wird frühestens am Montag erwartet. Im Süden bleibt es freundlich, "
     "sonst ziehen Wolken auf."),
    ("de+m1", "Wir haben das Boot am Ufer festgemacht und sind zu Fuß weitergegangen, bis hinauf "
     "zur Burg, von der man über die Bucht und die Berge blickt."),
    ("es+m2", "Buenas tardes y bienvenidos al programa. Hoy hablaremos de la historia de la "
     "ciudad, de sus mercados y de la gente que trabaja en ellos desde muy temprano por la "
        "mañana."),
    ("es+f3", "Mi hermana prefiere vivir cerca del mar, porque le gusta nadar por la mañana y "
     "pasear por la playa cuando no hay nadie."),
    ("fr-fr+f2", "Bonjour à tous, voici les informations de la journée. Le gouvernement propose "
     "une nouvelle loi pour protéger les forêts et les rivières, et les députés voteront jeudi "
     "prochain."),
    ("fr-fr+m4", "Pour préparer ce plat, il faut une poignée de pommes bien mûres, un peu de "
     "beurre, du sucre et beaucoup de patience."),
)  # fmt: skip


@dataclass(frozen=True)
class HeardSpeech:
    """What the sync model hears in a recording.

    Attributes:
        embedding: float32 [T, D], at 25 fps, length 1.
        has_speech: bool [T].
    """

    embedding: np.ndarray
    has_speech: np.ndarray


def foreign_speech(
    tools: SyncTools, recordings: list[Path], progress: Progress = no_progress
) -> list[HeardSpeech]:
    """Speech of others: synthesised, and recordings of one's own choice.

    Args:
        recordings: audio or video files in which other people speak.

    Raises:
        MediaError: a recording cannot be read, or is silent.
        PresenterError: nobody speaks in it.
        LipSyncError: speech cannot be synthesised.
    """
    from torchaudio.functional import resample

    recorded = [read_speech(path, tools) for path in recordings]  # errors first
    speeches = []
    for voice, text in progress(SPOKEN, tr("listening to other voices"), len(SPOKEN)):
        spoken = synthesise_text(text, voice)
        samples = torch.from_numpy(spoken.samples)
        samples = resample(samples, spoken.sample_rate, SAMPLE_RATE).numpy()
        speeches.append(HeardSpeech(*hear(samples, tools)))
    return speeches + [HeardSpeech(speech.embedding, speech.has_speech) for speech in recorded]
