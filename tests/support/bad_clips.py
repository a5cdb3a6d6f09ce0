"""Clips that cannot be used, or only in part: made on the spot, each for one reason."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from src.media.writer import write_clip, write_wav
from tests.support.films import ffmpeg, write_sound
from tools.synthetic_talker import SAMPLE_RATE, clip_parts

FRAMES = 80  # of the talk
FACE = (30, 54)  # the 30 % of them in which "a third.mp4" shows the face
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
    """An mp4, unless the name says something else."""
    return name if Path(name).suffix else f"{name}.mp4"


@cache
def talk() -> tuple[np.ndarray, np.ndarray]:
    """Somebody drawn who speaks: uint8 BGR [FRAMES, 320, 320, 3], float32 [n] at SAMPLE_RATE."""
    _, frames, samples, _ = clip_parts(1, FRAMES / 25)
    return np.stack(list(frames)), samples


def write_talk(path: Path, pictures=None, samples=None) -> None:
    """The talk with other pictures or another sound."""
    own_pictures, own_samples = talk()
    pictures = own_pictures if pictures is None else pictures
    write_clip(path, pictures, 25, own_samples if samples is None else samples, SAMPLE_RATE)


@cache
def streets() -> np.ndarray:
    """Pictures that move and show nobody: uint8 BGR [FRAMES, 320, 320, 3]."""
    rng = np.random.default_rng(4)
    wall = cv2.resize(rng.integers(40, 200, (8, 40, 3)).astype(np.uint8), (1600, 320))
    return np.stack([wall[:, 4 * i :][:, :320] for i in range(FRAMES)])


def noise(count: int, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(2).normal(0, level, count).astype(np.float32)


# ---------------------------------------------------------------------------- broken files


def flipped(source: Path, path: Path, every: int) -> None:
    """A copy in which one byte of every so many is turned round, but for the contents in front."""
    data = bytearray(source.read_bytes())
    start = data.index(b"mdat") + every
    assert len(data) > start + 4 * every, "too small to be hit several times"
    for place in range(start, len(data), every):
        data[place] ^= 0xFF
    path.write_bytes(data)


def cut(source: Path, path: Path) -> None:
    """The first half of a file."""
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


def zeroed(source: Path, path: Path) -> None:
    """A copy that is all zeros from the middle on."""
    data = bytearray(source.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)


def write_broken(folder: Path, workplace: Path) -> None:
    """Files that no decoder, or only part of one, makes sense of."""
    whole, front, large = (workplace / f"{name}.mp4" for name in ("whole", "front", "large"))
    write_talk(whole)
    ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", front)
    ffmpeg("-i", whole, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", "-g", "12",
           "-c:a", "copy", "-movflags", "+faststart", large)  # fmt: skip
    (folder / "zero bytes.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no film\n" * 500)
    cut(front, folder / "cut, contents in front.mp4")
    cut(whole, folder / "cut, contents at the end.mp4")
    for suffix in (".mkv", ".avi", ".flv"):
        other = workplace / f"whole{suffix}"
        options = ["-c:v", "mpeg4", "-c:a", "pcm_s16le"] if suffix == ".avi" else ["-c", "copy"]
        ffmpeg("-i", whole, *options, other)
        cut(other, folder / f"cut{suffix}")
    zeroed(front, folder / "zeros.mp4")
    flipped(large, folder / "flipped every 64 KiB.mp4", 1 << 16)
    flipped(front, folder / "flipped every 2 KiB.mp4", 1 << 11)
    flipped(large, folder / "flipped in every picture.mp4", 1 << 12)
    ffmpeg("-i", whole, "-vn", "-c", "copy", folder / "sound only.mp4")
    ffmpeg("-i", whole, "-vn", "-f", "mp3", folder / "mp3 by another name.mp4")


def write_odd_places(folder: Path) -> None:
    """What is named like a film and is no file."""
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "nowhere.mp4").symlink_to(folder / "gone.mp4")
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.mp4")


# ---------------------------------------------------------------------------- useless content


def write_useless(folder: Path) -> None:
    """Sound files of which there is nothing to learn."""
    pictures, samples = talk()
    write_clip(folder / "picture only.mp4", pictures[:25], 25, None)
    write_talk(folder / "silence.mp4", pictures[:25], np.zeros(SAMPLE_RATE, np.float32))
    grain = np.random.default_rng(3).integers(0, 256, (25, 160, 240, 3)).astype(np.uint8)
    write_talk(folder / "noise.mp4", grain, noise(SAMPLE_RATE))
    write_talk(folder / "nobody.mp4", streets())
    write_talk(folder / "nobody speaks.mp4", samples=noise(len(samples), 0.01))
    write_talk(folder / "four frames.mp4", pictures[:4])
    write_clip(folder / "standing.mp4", pictures[:2], 0.5, samples, SAMPLE_RATE)
    # The face in three of ten frames: never long enough.
    flicker = [talk()[0][i] if i % 10 < 3 else streets()[i] for i in range(FRAMES)]
    write_talk(folder / "now and then.mp4", np.stack(flicker))


# ---------------------------------------------------------------------------- used in part


def write_partial(folder: Path, workplace: Path) -> None:
    """Clips of which a part can be used."""
    pictures, samples = talk()
    first, stop = FACE
    seldom = np.concatenate([streets()[:first], pictures[first:stop], streets()[stop:]])
    write_talk(folder / "a third.mp4", seldom)
    write_talk(folder / "leaves.mp4", _leaving())
    write_talk(folder / "two.mp4", _two())
    write_talk(folder / "small.mp4", _small(27))
    write_talk(folder / "too small.mp4", _small(12))
    write_talk(
        folder / "sound 10 s longer.mp4",
        samples=np.concatenate([samples, noise(10 * SAMPLE_RATE, 1e-3)]),
    )
    short, sound = workplace / "short.mp4", workplace / "short.wav"
    write_clip(short, pictures[:50], 25, None)
    write_wav(sound, samples[: 2 * SAMPLE_RATE], SAMPLE_RATE)
    ffmpeg("-stream_loop", 5, "-i", short, "-i", sound, "-c:v", "copy",
           folder / "sound 10 s shorter.mp4")  # fmt: skip


def _leaving() -> np.ndarray:
    """The face goes out of the picture to the right in the second half, and stays away."""
    pictures, backdrop = talk()[0].copy(), streets()[0]
    for index in range(FRAMES // 2, FRAMES):
        way = min(320, (index - FRAMES // 2) * 16)
        seen = pictures[index][:, : 320 - way].copy()
        pictures[index][:, way:] = seen
        pictures[index][:, :way] = backdrop[:, :way]
    return pictures


def _two() -> np.ndarray:
    """The speaker, and beside her a smaller one who keeps still: [FRAMES, 320, 560, 3]."""
    _, frames, _, _ = clip_parts(2, 0.04)
    still = cv2.resize(next(iter(frames)), (240, 240), interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(5).integers(0, 5, (4, *still.shape)).astype(np.uint8)
    both = np.full((FRAMES, 320, 560, 3), 90, np.uint8)
    both[:, :, :320] = talk()[0]
    for index in range(FRAMES):  # a camera never gives the same picture twice
        both[index, 40:280, 320:] = cv2.add(still, grain[index % 4])
    return both


def _small(width: int) -> np.ndarray:
    """The face so many pixels wide, in pictures of 640 x 480."""
    side = round(320 * width / 127)  # in the talk it is 127 pixels wide
    pictures = np.full((40, 480, 640, 3), 110, np.uint8)
    for index in range(40):
        face = cv2.resize(talk()[0][index], (side, side), interpolation=cv2.INTER_AREA)
        pictures[index, 200 : 200 + side, 300 : 300 + side] = face
    return pictures


# ---------------------------------------------------------------------------- sounds and names


def write_odd_names(videos: Path, audios: Path, clip: Path) -> None:
    """Good clips, their sound apart, under every kind of name."""
    sound = audios / "sound.wav"
    ffmpeg("-i", clip, "-ar", "16000", sound)
    for name in ODD_NAMES:
        shutil.copy(clip, videos / name)
        shutil.copy(sound, audios / (name[:-4] + ".wav"))
    sound.unlink()


def write_bad_sounds(videos: Path, audios: Path, clip: Path) -> None:
    """Good clips whose sound files are of no use."""
    picture = cv2.imencode(".png", talk()[0][0])[1].tobytes()
    silent = audios.parent / "silent.mp4"
    write_clip(silent, talk()[0][:10], 25, None)
    sounds: dict[str, Callable[[Path], object]] = {
        "sound is empty": lambda path: path.write_bytes(b""),
        "sound is text": lambda path: path.write_text("this is no sound\n" * 500),
        "sound is a picture": lambda path: path.write_bytes(picture),
        "sound is short": lambda path: write_sound(path, seconds=0.1, times=(0.05,)),
        "sound is a silent film": silent.replace,
    }
    for name, make in sounds.items():
        shutil.copy(clip, videos / f"{name}.mp4")
        make(audios / f"{name}.wav")
    shutil.copy(clip, videos / "sound is damaged.mp4")
    whole = audios.parent / "whole.m4a"
    ffmpeg("-i", clip, "-vn", "-c", "copy", "-movflags", "+faststart", whole)
    flipped(whole, audios / "sound is damaged.m4a", 256)


def contents(*folders: Path) -> dict[str, str]:
    """Everything that lies in folders, by path: a hash, where a link leads, or what else it is."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "folder" if path.is_dir() else "pipe"
    return found
