"""Videos of several people side by side who take turns, made of real clips of one person each.

Who does not speak listens: a silent stretch of the same clip is played forwards and backwards. Each
has an offset of their own: that of the clip, and what is put in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.audio.features import compute_features
from src.core.constants import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip

SIDE = 288  # px, of a person's part of the frame
MIN_LISTENING = 20  # frames of a silent stretch
MARGIN = 4  # frames between speech and what counts as silent
PAUSE = 5  # frames of a pause between two words, at which a turn may begin and end
FADE = 5  # frames over which a person is faded from one stretch of the clip into another


@dataclass
class Host:
    """A clip of one person, on the 25 fps grid.

    Attributes:
        name: of the clip.
        frames: uint8 [T, SIDE, SIDE, 3].
        samples: float32 [640 T].
        speech: bool [T].
        listening: frames of the silent stretch, in an order that can be repeated.
    """

    name: str
    frames: np.ndarray
    samples: np.ndarray
    speech: np.ndarray
    listening: list[int]

    @classmethod
    def read(cls, path: Path) -> "Host":
        """A clip with a silent stretch of a second or more."""
        frames = np.array([_square(frame.bgr) for frame in read_frames(path, 1)])
        samples = np.zeros(len(frames) * SAMPLES_PER_FRAME, np.float32)
        audio = read_audio(path)[: len(samples)]
        samples[: len(audio)] = audio
        _, speech = compute_features(samples, len(frames))
        is_silent = ~np.convolve(speech, np.ones(2 * MARGIN + 1), "same").astype(bool)
        edges = np.flatnonzero(np.diff(is_silent & ~_is_faded(frames, speech), prepend=0, append=0))
        gaps = zip(edges[::2], edges[1::2], strict=True)
        first, stop = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0, 0))
        assert stop - first >= MIN_LISTENING, f"{path}: no silent stretch"
        forwards = list(range(first, stop))
        return cls(path.stem, frames, samples, speech, [*forwards, *forwards[-2:0:-1]])

    @property
    def first_speech(self) -> int:
        """The first frame with speech."""
        return int(np.flatnonzero(self.speech)[0])

    def n_to_pause(self, first: int, n_frames: int) -> int:
        """How many frames from ``first`` on are said until the first pause after ``n_frames``."""
        for stop in range(first + n_frames, len(self.frames)):
            if not self.speech[stop - PAUSE : stop + 1].any():
                return stop - first
        return len(self.frames) - first


@dataclass(frozen=True)
class MadeTurns:
    """What was made.

    Attributes:
        speech: bool [H, T], in which frames each host speaks.
    """

    speech: np.ndarray


def make_turns(
    path: Path,
    hosts: Sequence[Host],
    turns: Sequence[tuple[int | None, float]],
    leads_ms: Sequence[float],
) -> MadeTurns:
    """Write a video of hosts side by side who speak one after the other.

    Args:
        turns: (number of the host, None: nobody; seconds) each. A turn ends with the first pause
            after so long.
        leads_ms: by how much each host's audio is made to lead.
    """
    shown, speaks = [[] for _ in hosts], [[] for _ in hosts]
    spoken, heard = [host.first_speech - PAUSE for host in hosts], [0] * len(hosts)
    for who, seconds in turns:
        n_frames = round(seconds * FPS)
        if who is not None:
            n_frames = hosts[who].n_to_pause(spoken[who], n_frames)
        for number, host in enumerate(hosts):
            if who == number:
                frames = range(spoken[number], spoken[number] + n_frames)
                spoken[number] += n_frames
            else:
                numbers = range(heard[number], heard[number] + n_frames)
                frames = [host.listening[index % len(host.listening)] for index in numbers]
                heard[number] += n_frames
            shown[number] += frames
            speaks[number] += [who == number] * n_frames
    shown, speaks = np.array(shown), np.array(speaks)
    n_frames = shown.shape[1]
    samples = np.zeros(n_frames * SAMPLES_PER_FRAME, np.float32)
    speech = np.zeros_like(speaks)
    for number, (host, lead_ms) in enumerate(zip(hosts, leads_ms, strict=True)):
        track = np.zeros_like(samples).reshape(n_frames, -1)
        said = host.samples.reshape(-1, SAMPLES_PER_FRAME)[shown[number]]
        track[speaks[number]] = said[speaks[number]]
        samples += _shifted(track.ravel(), lead_ms)
        speech[number] = speaks[number] & host.speech[shown[number]]
    frames = (
        np.hstack([_faded(host, shown[number], index) for number, host in enumerate(hosts)])
        for index in range(n_frames)
    )
    write_clip(path, frames, FPS, samples)
    return MadeTurns(speech)


def _faded(host: Host, shown: np.ndarray, index: int) -> np.ndarray:
    """The frame of a host at an index; where the clip does not go on, faded into what follows, as
    half of a frame that changes at once would look like a cut."""
    pixels, last = host.frames[shown[index]], len(host.frames) - 1
    for ago in range(min(FADE, index)):
        before = shown[index - ago - 1]
        if abs(int(shown[index - ago]) - int(before)) > 1:
            weight = (ago + 1) / (FADE + 1)
            went_on = host.frames[min(int(before) + 1 + ago, last)]
            return cv2.addWeighted(pixels, weight, went_on, 1 - weight, 0)
    return pixels


def _shifted(samples: np.ndarray, lead_ms: float) -> np.ndarray:
    """The same number of samples, earlier by ``lead_ms``."""
    n = round(abs(lead_ms) * SAMPLE_RATE / 1000)
    silence = np.zeros(n, np.float32)
    moved = np.concatenate([samples[n:], silence] if lead_ms > 0 else [silence, samples])
    return moved[: len(samples)]


def _is_faded(frames: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Whether the person fades in or out: further from how they look when they speak than ever
    while they do; bool [T]."""
    small = frames[:, ::8, ::8].astype(np.float32)
    distance = np.abs(small - np.median(small[speech], axis=0)).mean((1, 2, 3))
    return distance > 1.1 * distance[speech].max()


def _square(pixels: np.ndarray) -> np.ndarray:
    """The middle of a frame, as large as its shorter side, scaled."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = pixels[top : top + side, left : left + side]
    return cv2.resize(middle, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
