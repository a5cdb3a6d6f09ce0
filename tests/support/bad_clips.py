"""Generated clips that cannot be used, or only in part, each for one reason."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from src.core.constants import FPS
from src.media.writer import write_clip, write_wav
from tests.support.media_files import ffmpeg, write_audio
from tools.synthetic_talker import SAMPLE_RATE, clip_parts

FRAMES = 80  # of the talking head
FACE_SPAN = (30, 54)  # the 30 % of them in which "a third.mp4" shows the face
ODD_NAMES = [
    "two words.mp4",
    "中文 口播.mp4",
    "mañana.mp4",
    "-dash.mp4",
    "it's.mp4",
    "long " + 191 * "x" + ".mp4",
    70 * "长" + ".mp4",
]
if sys.platform == "linux":  # out of an old archive: Latin-1 where UTF-8 is meant
    ODD_NAMES.append(os.fsdecode(b"caf\xe9.mp4"))


def name_of(name: str) -> str:
    """File name of a clip: an mp4, unless the name has another suffix."""
    return name if Path(name).suffix else f"{name}.mp4"


@cache
def talking_head() -> tuple[np.ndarray, np.ndarray]:
    """A synthetic talking head: uint8 BGR [FRAMES, 320, 320, 3], float32 [n] at SAMPLE_RATE."""
    _, frames, samples, _ = clip_parts(1, FRAMES / FPS)
    return np.stack(list(frames)), samples


def write_talking_head(path: Path, frames=None, samples=None) -> None:
    """The talking head with other frames or other audio."""
    default_frames, default_samples = talking_head()
    frames = default_frames if frames is None else frames
    write_clip(path, frames, FPS, default_samples if samples is None else samples, SAMPLE_RATE)


@cache
def scenery() -> np.ndarray:
    """A moving video without people: uint8 BGR [FRAMES, 320, 320, 3]."""
    rng = np.random.default_rng(4)
    wall = cv2.resize(rng.integers(40, 200, (8, 40, 3)).astype(np.uint8), (1600, 320))
    return np.stack([wall[:, 4 * i :][:, :320] for i in range(FRAMES)])


def noise(count: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(2).normal(0, level, count).astype(np.float32)


# ---------------------------------------------------------------------------- broken files


def flip_bytes(source: Path, path: Path, every: int) -> None:
    """A copy in which one byte of every so many is inverted, except in the header in front."""
    data = bytearray(source.read_bytes())
    start = data.index(b"mdat") + every
    assert len(data) > start + 4 * every, "too small to be hit several times"
    for position in range(start, len(data), every):
        data[position] ^= 0xFF
    path.write_bytes(data)


def truncate(source: Path, path: Path) -> None:
    """The first half of a file."""
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


def zero_second_half(source: Path, path: Path) -> None:
    """A copy that is all zeros from the middle."""
    data = bytearray(source.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)


def write_broken(folder: Path, temporary: Path) -> None:
    """Files that cannot be decoded, or only in part."""
    whole, front, large = (temporary / f"{name}.mp4" for name in ("whole", "front", "large"))
    write_talking_head(whole)
    ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", front)
    ffmpeg("-i", whole, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", "-g", "12",
           "-c:a", "copy", "-movflags", "+faststart", large)  # fmt: skip
    (folder / "zero bytes.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video\n" * 500)
    truncate(front, folder / "cut, contents in front.mp4")
    truncate(whole, folder / "cut, contents at the end.mp4")
    for suffix in (".mkv", ".avi", ".flv"):
        other = temporary / f"whole{suffix}"
        options = ["-c:v", "mpeg4", "-c:a", "pcm_s16le"] if suffix == ".avi" else ["-c", "copy"]
        ffmpeg("-i", whole, *options, other)
        truncate(other, folder / f"cut{suffix}")
    zero_second_half(front, folder / "zeros.mp4")
    flip_bytes(large, folder / "flipped every 64 KiB.mp4", 1 << 16)
    flip_bytes(front, folder / "flipped every 512 bytes.mp4", 1 << 9)
    flip_bytes(large, folder / "flipped in every frame.mp4", 1 << 10)
    ffmpeg("-i", whole, "-vn", "-c", "copy", folder / "audio only.mp4")
    ffmpeg("-i", whole, "-vn", "-f", "mp3", folder / "mp3 by another name.mp4")


def write_non_files(folder: Path) -> None:
    """What is named like a video and is not a file."""
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "nowhere.mp4").symlink_to(folder / "gone.mp4")
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.mp4")


# ---------------------------------------------------------------------------- unusable content


def write_unusable(folder: Path) -> None:
    """Valid files from which nothing can be learned."""
    frames, samples = talking_head()
    write_clip(folder / "video only.mp4", frames[:25], FPS, None)
    write_talking_head(folder / "silence.mp4", frames[:25], np.zeros(SAMPLE_RATE, np.float32))
    grain = np.random.default_rng(3).integers(0, 256, (25, 160, 240, 3)).astype(np.uint8)
    write_talking_head(folder / "noise.mp4", grain, noise(SAMPLE_RATE))
    write_talking_head(folder / "no face.mp4", scenery())
    write_talking_head(folder / "no speech.mp4", samples=noise(len(samples), 0.01))
    write_talking_head(folder / "four frames.mp4", frames[:4])
    write_clip(folder / "frozen.mp4", frames[:2], 0.5, samples, SAMPLE_RATE)
    # The face in three of ten frames: never long enough.
    flicker = [talking_head()[0][i] if i % 10 < 3 else scenery()[i] for i in range(FRAMES)]
    write_talking_head(folder / "flicker.mp4", np.stack(flicker))


# ---------------------------------------------------------------------------- used in part


def write_partial(folder: Path, temporary: Path) -> None:
    """Clips that can be used in part."""
    frames, samples = talking_head()
    first, stop = FACE_SPAN
    partial = np.concatenate([scenery()[:first], frames[first:stop], scenery()[stop:]])
    write_talking_head(folder / "a third.mp4", partial)
    write_talking_head(folder / "leaves.mp4", _leaving_face())
    write_talking_head(folder / "two.mp4", _two_people())
    write_talking_head(folder / "small.mp4", _small_face(27))
    write_talking_head(folder / "too small.mp4", _small_face(12))
    write_talking_head(
        folder / "audio 10 s longer.mp4",
        samples=np.concatenate([samples, noise(10 * SAMPLE_RATE, 1e-3)]),
    )
    short, audio = temporary / "short.mp4", temporary / "short.wav"
    write_clip(short, frames[:50], FPS, None)
    write_wav(audio, samples[: 2 * SAMPLE_RATE], SAMPLE_RATE)
    ffmpeg("-stream_loop", 5, "-i", short, "-i", audio, "-c:v", "copy",
           folder / "audio 10 s shorter.mp4")  # fmt: skip


def _leaving_face() -> np.ndarray:
    """The face leaves the frame to the right in the second half and does not return."""
    frames, backdrop = talking_head()[0].copy(), scenery()[0]
    for index in range(FRAMES // 2, FRAMES):
        shift = min(320, (index - FRAMES // 2) * 16)
        visible = frames[index][:, : 320 - shift].copy()
        frames[index][:, shift:] = visible
        frames[index][:, :shift] = backdrop[:, :shift]
    return frames


def _two_people() -> np.ndarray:
    """The speaker, and beside her a smaller person who does not move: [FRAMES, 320, 560, 3]."""
    _, frames, _, _ = clip_parts(2, 0.04)
    still = cv2.resize(next(iter(frames)), (240, 240), interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(5).integers(0, 5, (4, *still.shape)).astype(np.uint8)
    both = np.full((FRAMES, 320, 560, 3), 90, np.uint8)
    both[:, :, :320] = talking_head()[0]
    for index in range(FRAMES):  # a camera never gives the same image twice
        both[index, 40:280, 320:] = cv2.add(still, grain[index % 4])
    return both


def _small_face(width: int) -> np.ndarray:
    """The face so many pixels wide, in frames of 640 x 480."""
    side = round(320 * width / 127)  # in the talking head it is 127 pixels wide
    frames = np.full((40, 480, 640, 3), 110, np.uint8)
    for index in range(40):
        face = cv2.resize(talking_head()[0][index], (side, side), interpolation=cv2.INTER_AREA)
        frames[index, 200 : 200 + side, 300 : 300 + side] = face
    return frames


# ---------------------------------------------------------------------------- audio files and names


def write_odd_names(videos: Path, audios: Path, clip: Path) -> None:
    """Usable clips with separate audio files, under all kinds of names."""
    audio = audios / "audio.wav"
    ffmpeg("-i", clip, "-ar", str(SAMPLE_RATE), audio)
    for name in ODD_NAMES:
        shutil.copy(clip, videos / name)
        shutil.copy(audio, audios / (name[:-4] + ".wav"))
    audio.unlink()


def write_bad_audio(videos: Path, audios: Path, clip: Path) -> None:
    """Usable clips whose audio files are unusable."""
    image = cv2.imencode(".png", talking_head()[0][0])[1].tobytes()
    silent = audios.parent / "silent.mp4"
    write_clip(silent, talking_head()[0][:10], FPS, None)
    writers: dict[str, Callable[[Path], object]] = {
        "audio is empty": lambda path: path.write_bytes(b""),
        "audio is text": lambda path: path.write_text("this is not audio\n" * 500),
        "audio is an image": lambda path: path.write_bytes(image),
        "audio is short": lambda path: write_audio(path, seconds=0.1, times=(0.05,)),
        "audio is a silent video": silent.replace,
    }
    for name, write in writers.items():
        shutil.copy(clip, videos / f"{name}.mp4")
        write(audios / f"{name}.wav")
    shutil.copy(clip, videos / "audio is damaged.mp4")
    whole = audios.parent / "whole.m4a"
    ffmpeg("-i", clip, "-vn", "-c", "copy", "-movflags", "+faststart", whole)
    flip_bytes(whole, audios / "audio is damaged.m4a", 256)


def contents(*folders: Path) -> dict[str, str]:
    """Everything in folders, by path: a hash, the target of a link, or what else it is."""
    result = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                result[str(path)] = os.readlink(path)
            elif path.is_file():
                result[str(path)] = sha256(path.read_bytes()).hexdigest()
            else:
                result[str(path)] = "folder" if path.is_dir() else "pipe"
    return result
