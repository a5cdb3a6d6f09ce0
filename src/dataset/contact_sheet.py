"""Crops of many samples on one picture, to see at a glance what the network will see."""

from pathlib import Path

import cv2
import numpy as np

from ..core.errors import DatasetError, OutputError
from ..core.files import ensure_folder, written_atomically
from ..i18n.messages import tr
from ..preprocessing.track_file import read_sample
from .index import read_index

MOST_SAMPLES = 60
COLUMNS = 6
PLACES = (0.2, 0.5, 0.8)  # of a sample, where its three crops are taken
CROP = 96  # px on the sheet
LABEL = 16  # px for the name under the crops …
TEXT = 11  # … and size of its letters
GAP = 6


def draw_contact_sheet(index_path: Path, target: Path) -> tuple[int, int]:
    """Draw three crops of each of up to 60 samples, of as many speakers as there are.

    Under each: its clip, the width of its face in pixels of the video, its length in seconds.

    Returns:
        how many samples are shown, and of how many.

    Raises:
        DatasetError: the index or a sample cannot be read, or the index is empty.
        OutputError: the picture cannot be written.
    """
    if target.suffix.lower() != ".png":
        raise OutputError(tr("{path}: the name must end in .png", path=target))
    samples = read_index(index_path)["samples"]
    if not samples:
        raise DatasetError(tr("{path} has no samples", path=index_path))
    shown = _spread(samples, MOST_SAMPLES)
    tiles = [_tile(index_path.parent / record["file"], record) for record in shown]
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.full((rows * (height + GAP) + GAP, COLUMNS * (width + GAP) + GAP, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        y = GAP + place // COLUMNS * (height + GAP)
        x = GAP + place % COLUMNS * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    ensure_folder(target.parent)
    with written_atomically(target) as aside:
        aside.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    return len(shown), len(samples)


def _spread(samples: list[dict], most: int) -> list[dict]:
    """One sample of each speaker, then a second, …; evenly chosen where there are too many."""
    speakers: dict[str, list[dict]] = {}
    for record in samples:
        speakers.setdefault(record["speaker"], []).append(record)
    in_turn = sorted(
        (turn, speaker)
        for speaker, records in speakers.items()
        for turn in range(len(records))
    )  # fmt: skip
    first_turns = [pair for pair in in_turn if pair[0] == 0]
    pool = first_turns if len(first_turns) >= most else in_turn[:most]
    picks = np.unique(np.linspace(0, len(pool) - 1, min(most, len(pool))).round().astype(int))
    chosen = []
    for turn, speaker in (pool[pick] for pick in picks):
        records = speakers[speaker]
        turns = sum(1 for pair in pool if pair[1] == speaker)
        chosen.append(records[turn * len(records) // turns])
    return chosen


def _tile(path: Path, record: dict) -> np.ndarray:
    """uint8 [CROP + LABEL, 3 CROP, 3]."""
    records = read_sample(path)
    crops = [records["crop"][int(place * (len(records) - 1))] for place in PLACES]
    strip = np.hstack([cv2.resize(crop, (CROP, CROP)) for crop in crops])
    tile = np.full((CROP + LABEL, len(crops) * CROP, 3), 255, np.uint8)
    tile[:CROP] = strip[..., None]
    boxes = records["box"]
    face = round(float(np.median(boxes[:, 2] - boxes[:, 0])))
    text = _fitting(record["clip"], f"  {face} px  {len(records) / 25:.1f} s", tile.shape[1] - 4)
    cv2.putText(tile, text, (2, CROP + LABEL - 5), (0, 0, 0), _font(), TEXT)
    return tile


def _fitting(name: str, numbers: str, width: int) -> str:
    """The numbers after as much of the end of the name as there is room for."""
    # OpenCV falls over bytes that are not UTF-8, and breaks lines.
    name = " ".join(name.encode(errors="replace").decode().split())
    while (
        name and cv2.getTextSize((width, LABEL), name + numbers, (0, 0), _font(), TEXT)[2] > width
    ):
        name = name[1:]
    return name + numbers


def _font() -> "cv2.FontFace":
    """OpenCV's own font with Chinese in it."""
    return cv2.FontFace("uni")
