"""Crops of many samples in one image, to see at a glance what the network will see."""

from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS
from ..core.errors import DatasetError, OutputError
from ..core.files import ensure_folder, written_atomically
from ..i18n.messages import tr
from ..preprocessing.sample_file import read_sample
from .index import read_index
from .tar_shards import part_of, read_shard_index

MAX_SAMPLES = 60
COLUMNS = 6
CROP_POSITIONS = (0.2, 0.5, 0.8)  # of the three crops, as shares of a sample's length
CROP_SIZE = 96  # px on the sheet
LABEL_HEIGHT = 16  # px for the label under the crops …
FONT_SIZE = 11  # … and its font size, px
GAP = 6  # px between tiles


def draw_contact_sheet(
    index_path: Path, target: Path, shards: str | None = None
) -> tuple[int, int]:
    """Draw three crops of each of up to 60 samples, of as many speakers as there are.

    Under each: its clip, the width of its face in pixels of the video, its length in seconds.

    Args:
        index_path: of samples in single files.
        target: the image.
        shards: the folder or URL of the samples, where they are in shards.

    Returns:
        the number of samples drawn, and of samples in the index.

    Raises:
        DatasetError: the index or a sample cannot be read, or the index is empty.
        OutputError: the image cannot be written.
    """
    if target.suffix.lower() != ".png":
        raise OutputError(tr("{path}: the name must end in .png", path=target))
    index = read_index(index_path) if shards is None else read_shard_index(shards)
    samples = index["samples"]
    if not samples:
        raise DatasetError(tr("{path} has no samples", path=index_path))
    selected = _select(samples, MAX_SAMPLES)
    tiles = []
    for record in selected:
        if shards is None:
            frames = read_sample(index_path.parent / record["file"])
        else:
            frames = part_of(shards, index, record).read(0, record["n_frames"])
        tiles.append(_draw_tile(frames, record))
    height, width = tiles[0].shape[:2]
    n_columns = min(COLUMNS, len(tiles))
    n_rows = -(-len(tiles) // n_columns)
    shape = n_rows * (height + GAP) + GAP, n_columns * (width + GAP) + GAP, 3
    sheet = np.full(shape, 255, np.uint8)
    for number, tile in enumerate(tiles):
        y = GAP + number // n_columns * (height + GAP)
        x = GAP + number % n_columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    ensure_folder(target.parent)
    with written_atomically(target) as temporary_path:
        temporary_path.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    return len(selected), len(samples)


def _select(samples: list[dict], max_samples: int) -> list[dict]:
    """One sample of each speaker, then a second, …; evenly spaced where there are too many."""
    by_speaker: dict[str, list[dict]] = {}
    for record in samples:
        by_speaker.setdefault(record["speaker"], []).append(record)
    turns = sorted(
        (turn, speaker)
        for speaker, records in by_speaker.items()
        for turn in range(len(records))
    )  # fmt: skip
    first_turns = [turn for turn in turns if turn[0] == 0]
    pool = first_turns if len(first_turns) >= max_samples else turns[:max_samples]
    count = min(max_samples, len(pool))
    picks = np.unique(np.linspace(0, len(pool) - 1, count).round().astype(int))
    selected = []
    for turn, speaker in (pool[pick] for pick in picks):
        records = by_speaker[speaker]
        n_turns = sum(1 for entry in pool if entry[1] == speaker)
        selected.append(records[turn * len(records) // n_turns])
    return selected


def _draw_tile(records: np.ndarray, record: dict) -> np.ndarray:
    """uint8 [CROP_SIZE + LABEL_HEIGHT, 3 CROP_SIZE, 3], of the frames of a sample."""
    last = len(records) - 1
    crops = [records["crop"][int(position * last)] for position in CROP_POSITIONS]
    strip = np.hstack([cv2.resize(crop, (CROP_SIZE, CROP_SIZE)) for crop in crops])
    tile = np.full((CROP_SIZE + LABEL_HEIGHT, len(crops) * CROP_SIZE, 3), 255, np.uint8)
    tile[:CROP_SIZE] = strip[..., None]
    boxes = records["box"]
    face_width = round(float(np.median(boxes[:, 2] - boxes[:, 0])))
    numbers = f"  {face_width} px  {len(records) / FPS:.1f} s"
    text = _shorten(record["clip"], numbers, tile.shape[1] - 4)
    baseline = CROP_SIZE + LABEL_HEIGHT - 5
    cv2.putText(tile, text, (2, baseline), (0, 0, 0), _font(), FONT_SIZE)
    return tile


def _shorten(name: str, numbers: str, width: int) -> str:
    """The numbers after as much of the end of the name as fits into ``width`` pixels."""
    # OpenCV fails on bytes that are not UTF-8, and breaks lines.
    name = " ".join(name.encode(errors="replace").decode().split())
    while name and _text_width(name + numbers, width) > width:
        name = name[1:]
    return name + numbers


def _text_width(text: str, width: int) -> int:
    box = cv2.getTextSize((width, LABEL_HEIGHT), text, (0, 0), _font(), FONT_SIZE)
    return box[2]


def _font() -> "cv2.FontFace":
    """OpenCV's own font that includes Chinese."""
    return cv2.FontFace("uni")
