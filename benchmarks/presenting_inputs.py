"""What ``presenting.py`` measures with: people, their footage, and new audio."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.audio.speech_synthesis import bilabial_spans, synthesise_text
from src.core.constants import FPS, SAMPLE_RATE
from src.core.errors import DatasetError, MissingFileError
from src.i18n.messages import tr
from src.media.reader import read_audio
from src.media.writer import write_wav
from src.pipeline.pairs import read_csv
from src.presenter.speech import Speech, read_speech
from src.presenter.store import ClipRecord, Presenter
from src.presenter.sync_tools import SyncTools

HELD_OUT = 0.2  # share of each clip
TEXTS = {
    "English text": (
        "en-us+m3",
        "My mother bought a beautiful piano, but nobody plays it. People believe that bubbles pop "
        "when they bump into purple paper. Please bring me a map of the public park. Maybe Bob and "
        "Pam will come home before breakfast.",
    ),
    "Chinese text": (
        "cmn",
        "我妈妈买了一本新书，爸爸不喜欢。明天朋友们跑步去北京，我们买面包和苹果。今天天气不错，"
        "请大家慢慢吃饭。",
    ),
}


def read_people(path: Path) -> dict[str, list[Path]]:
    """The footage of each person, in order.

    Args:
        path: CSV with the columns ``person`` and ``video``. Files are looked up from the current
            folder, and then from the folder of the list.

    Raises:
        MissingFileError, DatasetError: the list or a video is missing, or it is no such list.
    """
    if not path.is_file():
        raise MissingFileError(tr("the list {path} is missing", path=path))
    rows = [[cell.strip() for cell in row] for row in read_csv(path) if any(map(str.strip, row))]
    header = [cell.lower() for cell in rows[0]] if rows else []
    if not {"person", "video"} <= set(header):
        raise DatasetError(tr("{path} must have the columns person,video", path=path))
    people: dict[str, list[Path]] = {}
    for row in rows[1:]:
        cells = dict(zip(header, row, strict=False))
        name, video = cells["person"], cells.get("video", "")
        if not (name and video):
            raise DatasetError(
                tr("{path}: a line names no person or no video: {line}",
                   path=path, line=",".join(row))
            )  # fmt: skip
        found = next((p for p in (Path(video), path.parent / video) if p.is_file()), None)
        if found is None:
            raise MissingFileError(tr("{path} is missing", path=video))
        people.setdefault(name, []).append(found)
    return people


@dataclass(frozen=True)
class Recording:
    """New audio.

    Attributes:
        name: for messages and files.
        speech: what is heard in it.
        closures_s: float [n, 2], its sounds b, p and m, seconds; None: not known.
    """

    name: str
    speech: Speech
    closures_s: np.ndarray | None = None


def cut_recording(source: Path, seconds: float, path: Path, tools: SyncTools) -> Recording:
    """The beginning of a file's audio, written to ``path``. Raises MediaError, PresenterError."""
    write_wav(path, read_audio(source)[: round(seconds * SAMPLE_RATE)])
    return Recording(path.stem, read_speech(path, tools))


def speak_text(name: str, seconds: float, path: Path, tools: SyncTools) -> Recording:
    """The beginning of a built-in text, spoken to ``path``.

    Args:
        name: of ``TEXTS``.

    Raises:
        LipSyncError: there is no voice.
    """
    voice, text = TEXTS[name]
    spoken = synthesise_text(text, voice)
    write_wav(path, spoken.samples[: round(seconds * spoken.sample_rate)], spoken.sample_rate)
    speech = read_speech(path, tools)
    spans = None
    if spoken.phonemes:
        spans = bilabial_spans(spoken.phonemes)
        spans = spans[spans[:, 1] < speech.duration_s]
    return Recording(path.stem, speech, spans)


def hold_out(presenter: Presenter, share: float = HELD_OUT) -> Presenter:
    """The presenter without the last part of each clip."""
    return _usable_where(
        presenter, [c.grid["time"] < (1 - share) * c.record.duration_s for c in presenter.clips]
    )


def limit_footage(presenter: Presenter, seconds: float) -> Presenter:
    """The presenter with the first so many seconds of usable footage."""
    allowed, kept = round(seconds * FPS), []
    for clip in presenter.clips:
        count = np.cumsum(clip.grid["usable"])
        kept.append(count <= allowed)
        allowed -= int(min(allowed, count[-1]))
    return _usable_where(presenter, kept)


def usable_seconds(presenter: Presenter) -> float:
    """Seconds of usable footage."""
    return sum(int(clip.grid["usable"].sum()) for clip in presenter.clips) / FPS


def _usable_where(presenter: Presenter, kept: list[np.ndarray]) -> Presenter:
    clips = []
    for clip, is_kept in zip(presenter.clips, kept, strict=True):
        grid = clip.grid.copy()
        grid["usable"] &= is_kept
        clips.append(replace(clip, grid=grid))
    return replace(presenter, clips=clips)


def in_order(presenter: Presenter, records: list[ClipRecord]) -> Presenter:
    """The presenter with the clips of these records only, in their order."""
    clips = {clip.record.sha256: clip for clip in presenter.clips}
    return replace(presenter, clips=[clips[record.sha256] for record in records])


def put_in_sync(samples: np.ndarray, offset_ms: float) -> np.ndarray:
    """Audio, delayed by its offset; float32 [n] at 16 kHz."""
    delay = round(offset_ms * SAMPLE_RATE / 1000)
    if delay < 0:
        return samples[-delay:]
    return np.concatenate([np.zeros(delay, np.float32), samples])


def file_part(name: str) -> str:
    """A name as a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
