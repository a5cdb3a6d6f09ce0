"""CLI: a small corpus of synthetic talking faces: espeak-ng speaks, OpenCV draws.

Every clip is a drawn head whose mouth follows the phonemes of synthetic speech, so video and audio
are in sync to the millisecond and the true offset of each clip is known. This is enough to try the
whole system without anybody's video.

Frame i shows the mouth at time i / fps, the start of the frame; sample n is heard at n / rate. The
same seed gives the same clip, whatever its offset.
"""

import argparse
import colorsys
import csv
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from tqdm import tqdm

from src.audio.espeak import Phoneme, Voice, synthesise_speech
from src.core.cli import run
from src.core.constants import FPS
from src.core.errors import LipSyncError
from src.core.files import ensure_folder, written_atomically
from src.i18n.messages import tr, tr_n
from src.media.writer import write_clip
from tools.drawn_face import SIZE, Colour, Look, Pose, draw_face, smooth_step
from tools.espeak_speech import VOICES, make_sentence
from tools.mouth_shapes import mouth_track

SAMPLE_RATE = 24_000  # Hz, of the clips written
MAX_SHIFT_S = 2.0  # audio generated before and after a clip, so that it can be shifted
RECIPE = 1  # increment it when the same seed gives different clips
COLUMNS = ["name", "text", "voice", "speaker", "offset_ms", "seed", "seconds", "recipe"]


def make_speaker(seed: int) -> tuple[Look, Voice]:
    """Draw a person, look and voice, from a seed >= 0."""
    rng = np.random.default_rng([seed, 11])

    def colour(hue: float, saturation: float, value: float) -> Colour:
        rgb = colorsys.hsv_to_rgb(hue % 1, min(1, saturation), min(1, value))
        return tuple(int(255 * channel) for channel in rgb[::-1])

    female = rng.random() < 0.5
    skin_tone = rng.random()  # light to dark
    skin = colour(rng.uniform(0.055, 0.075), 0.28 + 0.3 * skin_tone, 0.95 - 0.42 * skin_tone)
    hair = [(0.07, 0.6, 0.2), (0.06, 0.6, 0.35), (0.1, 0.5, 0.75), (0.03, 0.7, 0.45), (0, 0, 0.1)]
    lips = colour(rng.uniform(-0.03, 0.02), 0.5 + 0.2 * female, 0.8 - 0.3 * skin_tone)
    styles = ("long", "bob", "bun", "long") if female else ("short", "short", "buzz", "bob")
    eye = rng.integers(3) if skin_tone < 0.5 else 1
    look = Look(
        skin=skin,
        hair=colour(*hair[rng.integers(4) if skin_tone < 0.5 else rng.choice((0, 4))]),
        lips=lips,
        iris=colour(*((0.57, 0.5, 0.6), (0.09, 0.7, 0.35), (0.3, 0.35, 0.45))[eye]),
        shirt=colour(rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.8)),
        background=colour(rng.random(), rng.uniform(0.05, 0.3), rng.uniform(0.6, 0.85)),
        hair_style=styles[rng.integers(4)],
        width=rng.uniform(0.68, 0.76),
        jaw=rng.uniform(0.12, 0.26) if female else rng.uniform(0.06, 0.2),
        eyes=rng.uniform(0.275, 0.305),
        mouth=rng.uniform(0.225, 0.265),
        lip=rng.uniform(0.075, 0.095) if female else rng.uniform(0.06, 0.08),
        brow=rng.uniform(-0.03, 0.04),
        beard=0.0 if female or rng.random() < 0.6 else rng.uniform(0.3, 0.6),
        glasses=bool(rng.random() < 0.3),
        articulation=rng.uniform(0.85, 1.1),
    )
    variant = f"{'f' if female else 'm'}{rng.integers(1, 6 if female else 9)}"
    voice = Voice(
        name=f"{VOICES[rng.integers(len(VOICES))]}+{variant}",
        pitch=int(rng.integers(35, 66)),
        rate=int(rng.integers(140, 186)),
        intonation=int(rng.integers(35, 71)),
    )
    return look, voice


def _resample(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Change the sample rate in the spectrum: no delay, not even of a fraction of a sample."""
    block = rate // math.gcd(rate, to)
    padded = np.pad(samples, (0, -len(samples) % block))
    n = len(padded) // block * (to // math.gcd(rate, to))
    return (np.fft.irfft(np.fft.rfft(padded), n) * (n / len(padded))).astype(np.float32)


def _monologue(
    voice: Voice, end_s: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[Phoneme], list[str]]:
    """Sentences with pauses: samples from -MAX_SHIFT_S to end_s + MAX_SHIFT_S, phonemes, texts."""
    total = round((end_s + 2 * MAX_SHIFT_S) * SAMPLE_RATE)
    samples = np.zeros(total, np.float32)
    phonemes, texts, now = [], [], rng.uniform(0.12, 0.35)
    while now < end_s + MAX_SHIFT_S:
        text = make_sentence(rng, voice.language)
        mood = replace(
            voice,
            rate=round(voice.rate * rng.uniform(0.93, 1.07)),
            pitch=round(np.clip(voice.pitch + rng.uniform(-5, 5), 0, 99)),
        )
        speech, rate, spoken = synthesise_speech(text, mood)
        while spoken[-1][2] == "_":  # the pause between sentences is ours
            spoken.pop()
        speech = _resample(speech[: round(spoken[-1][1] * rate)], rate, SAMPLE_RATE)
        begin = round((now + MAX_SHIFT_S) * SAMPLE_RATE)
        speech = speech[: total - begin]
        samples[begin : begin + len(speech)] = speech
        now = begin / SAMPLE_RATE - MAX_SHIFT_S
        phonemes += [(start + now, end + now, name) for start, end, name in spoken]
        if now < end_s:
            texts.append(text)
        now = phonemes[-1][1] + rng.uniform(0.15, 0.45) + (0.4 if rng.random() < 0.15 else 0)
    samples *= rng.uniform(0.06, 0.10) / max(1e-6, float(np.sqrt(np.mean(samples**2))))
    samples += rng.normal(0, 10 ** rng.uniform(-3.2, -2.7), total).astype(np.float32)  # a room
    return np.clip(samples, -0.99, 0.99), phonemes, texts


def _movement(n: int, rng: np.random.Generator) -> list[Pose]:
    """A head that is never quite still, and blinks."""
    time = np.arange(n) / FPS
    size = {"x": 6, "y": 4, "roll": 3, "scale": 0.025, "yaw": 0.7, "nod": 0.6, "gaze": 0.5}
    ways = {}
    for name, reach in size.items():
        waves = [
            np.sin(2 * np.pi * (rng.uniform(0.08, 0.5) * time + rng.random())) for _ in range(3)
        ]
        ways[name] = reach * (rng.uniform(-0.4, 0.4) + np.mean(waves, axis=0))
    ways["scale"] = 1 + ways["scale"]
    ways["blink"], at = np.zeros(n), rng.uniform(0.3, 3)
    while at < time[-1]:
        ways["blink"] = np.maximum(ways["blink"], smooth_step(1.4 - np.abs(time - at) / 0.09))
        at += rng.uniform(1.5, 4.5)
    rows = np.stack(list(ways.values()), axis=1).tolist()
    return [Pose(**dict(zip(ways, row, strict=True))) for row in rows]


def make_frames(
    look: Look, mouth: np.ndarray, rng: np.random.Generator, size: int = SIZE
) -> Iterator[np.ndarray]:
    """Yield one uint8 BGR image [size, size, 3] for each row of ``mouth`` [n, 5], in 0–1."""
    grain = rng.normal(0, 2.0, (4, size, size, 3)).round().astype(np.int8)
    for index, (shape, pose) in enumerate(zip(mouth, _movement(len(mouth), rng), strict=True)):
        image = cv2.GaussianBlur(draw_face(look, shape, pose, size), (0, 0), 0.6)
        yield cv2.add(image, grain[index % 4], dtype=cv2.CV_8U)


def clip_parts(
    seed: int, duration_s: float, shift_ms: float = 0.0, speaker: int | None = None
) -> tuple[np.ndarray, Iterator[np.ndarray], np.ndarray, dict]:
    """The parts of a clip before they are encoded; for the arguments see `make_clip`.

    Returns:
        mouth: float32 [n, 5], see `mouth_track`.
        frames: yields n frames, see `make_frames`.
        samples: float32 mono in −1…1 at SAMPLE_RATE, exactly as long as the video.
        metadata: what `make_clip` returns.

    Raises:
        LipSyncError: the clip has no frame, the shift is out of range, or espeak-ng fails.
    """
    count = round(duration_s * FPS)
    if count < 1:
        raise LipSyncError(tr("a clip of {seconds} s has no frame", seconds=duration_s))
    if abs(shift_ms) > MAX_SHIFT_S * 1000:
        raise LipSyncError(
            tr("the shift must be within ±{limit:.0f} ms, not {ms}",
               limit=MAX_SHIFT_S * 1000, ms=shift_ms)
        )  # fmt: skip
    speaker = seed if speaker is None else speaker
    look, voice = make_speaker(speaker)
    voice_rng, face_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    audio, phonemes, texts = _monologue(voice, count / FPS, voice_rng)
    start = round((MAX_SHIFT_S + shift_ms / 1000) * SAMPLE_RATE)
    samples = audio[start : start + round(count / FPS * SAMPLE_RATE)]
    mouth = mouth_track(phonemes, count)
    metadata = {
        "text": " ".join(texts),
        "voice": f"{voice.name} pitch {voice.pitch} rate {voice.rate}",
        "speaker": speaker,
        "offset_ms": shift_ms,
        "seed": seed,
        "seconds": count / FPS,
        "recipe": RECIPE,
    }
    return mouth, make_frames(look, mouth, face_rng), samples, metadata


def make_clip(
    path: str | Path,
    seed: int,
    duration_s: float,
    shift_ms: float = 0.0,
    speaker: int | None = None,
) -> dict:
    """Write one clip, 25 fps H.264 with 24 kHz AAC.

    Args:
        path: the mp4 to write.
        seed: determines the sentences and the head motion; >= 0.
        duration_s: rounded to whole frames.
        shift_ms: the injected offset (> 0: audio leads; < 0: it lags), within ±2000: what the
            system should measure. Everything else stays the same.
        speaker: seed of the look and the voice; None takes ``seed``.

    Returns:
        text, voice, speaker, offset_ms, seed, seconds and recipe.

    Raises:
        LipSyncError: see `clip_parts`; or the file cannot be written.
    """
    _, frames, samples, metadata = clip_parts(seed, duration_s, shift_ms, speaker)
    write_clip(path, frames, FPS, samples, SAMPLE_RATE)
    return metadata


def make_corpus(
    folder: str | Path,
    n_clips: int,
    duration_s: float,
    seed: int = 0,
    n_speakers: int = 6,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[dict]:
    """Write ``folder/videos/talker_000.mp4`` … and ``folder/corpus.csv``.

    Existing clips with the same parameters are reused.

    Args:
        folder: created if it is missing.
        n_clips: number of clips.
        duration_s: of each clip, rounded to whole frames.
        seed: another seed gives other people and other sentences; >= 0.
        n_speakers: speakers alternate from clip to clip.
        progress: wraps the clip numbers (tqdm).

    Returns:
        The rows of corpus.csv: the file's name, and what `make_clip` returned.

    Raises:
        LipSyncError: see `make_clip`.
    """
    folder = Path(folder)
    ensure_folder(folder / "videos")
    table, row_by_name, rows = folder / "corpus.csv", {}, []
    if table.is_file():
        with table.open(newline="", encoding="utf-8") as file:
            row_by_name = {row.get("name"): row for row in csv.DictReader(file)}
    for index in progress(range(n_clips)):
        path = folder / "videos" / f"talker_{index:03d}.mp4"
        parameters = {
            "name": path.name,
            "speaker": seed * 1000 + index % n_speakers,
            "offset_ms": 0.0,
            "seed": seed * 100_000 + index,
            "seconds": round(duration_s * FPS) / FPS,
            "recipe": RECIPE,
        }
        row = row_by_name.get(path.name, {})
        if path.is_file() and all(row.get(key) == str(value) for key, value in parameters.items()):
            rows.append({**row, **parameters})
            continue
        metadata = make_clip(path, parameters["seed"], duration_s, speaker=parameters["speaker"])
        rows.append({"name": path.name, **metadata})
        row_by_name[path.name] = rows[-1]
        _write_table(
            table, row_by_name.values()
        )  # finished clips are recorded even if the run is stopped
    _write_table(table, rows)
    return rows


def _write_table(path: Path, rows: Iterable[dict]) -> None:
    with written_atomically(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=tr("Generate a small corpus of synthetic talking faces in perfect sync."),
        epilog=tr(
            "example: {command}",
            command="python tools/synthetic_talker.py --output data/talkers --num-clips 40",
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--output", default="data/demo", help=tr("folder for videos/ and corpus.csv")
    )
    parser.add_argument("--num-clips", type=int, default=40, help=tr("number of clips"))
    parser.add_argument("--seconds", type=float, default=4.0, help=tr("duration of each clip"))
    parser.add_argument("--speakers", type=int, default=6, help=tr("number of different speakers"))
    parser.add_argument(
        "--seed", type=int, default=0, help=tr("random seed: another seed gives other people")
    )
    args = parser.parse_args()
    if min(args.num_clips, args.speakers) < 1 or args.seconds <= 0 or args.seed < 0:
        parser.error(
            tr("--num-clips, --speakers and --seconds must be positive, --seed not negative")
        )
    rows = make_corpus(
        args.output, args.num_clips, args.seconds, args.seed, args.speakers,
        progress=lambda numbers: tqdm(numbers, unit=tr("clip")),
    )  # fmt: skip
    print(
        tr_n("{n} clip in {folder}, listed in corpus.csv",
             "{n} clips in {folder}, listed in corpus.csv",
             len(rows), folder=Path(args.output) / "videos")
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)
