"""The contact sheet: whose crops, from which positions in the sample, and how many."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.core.errors import DatasetError, OutputError
from src.dataset.contact_sheet import (
    COLUMNS,
    CROP_SIZE,
    GAP,
    LABEL_HEIGHT,
    MAX_SAMPLES,
    draw_contact_sheet,
)
from src.dataset.index import INDEX_NAME, write_index
from src.preprocessing.sample_file import sample_dtype
from tests.support.processing_helpers import run_in_process, touch

FRAMES = 21  # of each sample; frame t is 10 t brighter than the first
TILE = (CROP_SIZE + LABEL_HEIGHT, 3 * CROP_SIZE)


def write_set(folder: Path, speakers: list[str], names: list[str] | None = None) -> Path:
    """An index whose sample ``n`` starts with the grey level ``n % 50``; a clip each."""
    folder.mkdir(exist_ok=True)
    records = []
    for number, speaker in enumerate(speakers):
        sample = np.zeros(FRAMES, sample_dtype(48, 13, 4))
        sample["crop"] = (number % 50 + 10 * np.arange(FRAMES))[:, None, None]
        sample["box"] = [10, 20, 10 + 100 + number, 90]
        np.save(folder / f"{number}.npy", sample)
        clip = names[number] if names else f"{speaker}/{number}.mp4"
        records.append({"id": f"{clip}#0", "file": f"{number}.npy", "clip": clip,
                        "speaker": speaker, "n_frames": FRAMES})  # fmt: skip
    write_index(folder / INDEX_NAME, {}, records)
    return folder / INDEX_NAME


def tiles_of(path: Path) -> list[np.ndarray]:
    """The tiles of a sheet without empty ones: uint8 [CROP_SIZE + LABEL_HEIGHT, 3 CROP_SIZE, 3]."""
    sheet = cv2.imread(str(path))
    height, width = TILE
    rows, columns = (
        (sheet.shape[0] - GAP) // (height + GAP),
        (sheet.shape[1] - GAP) // (width + GAP),
    )
    assert sheet.shape == (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    assert columns <= COLUMNS and (rows == 1 or columns == COLUMNS)
    corners = [
        (GAP + row * (height + GAP), GAP + column * (width + GAP))
        for row in range(rows)
        for column in range(columns)
    ]
    tiles = [sheet[y : y + height, x : x + width] for y, x in corners]
    filled = [tile for tile in tiles if (tile != 255).any()]
    assert len(tiles) - len(filled) < COLUMNS
    assert all((tile == 255).all() for tile in tiles[len(filled) :])
    return filled


def grey_levels(tile: np.ndarray) -> list[int]:
    """Of the three crops of a tile; each crop has a single level."""
    starts = range(0, 3 * CROP_SIZE, CROP_SIZE)
    crops = [tile[:CROP_SIZE, start : start + CROP_SIZE] for start in starts]
    assert all(np.ptp(crop) == 0 for crop in crops)
    return [int(crop[0, 0, 0]) for crop in crops]


def speakers_shown(path: Path, speakers: list[str]) -> list[str]:
    """Whose crops they are, in order; at most 50 samples can be distinguished."""
    assert len(speakers) <= 50
    return [speakers[grey_levels(tile)[0] - 40] for tile in tiles_of(path)]


def test_each_sample_has_three_crops_from_different_positions(tmp_path):
    index = write_set(tmp_path, ["anna", "bob"])
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (2, 2)
    # Of 21 frames those at 20, 50 and 80 %: the 4th, 10th and 16th.
    assert [grey_levels(tile) for tile in tiles_of(tmp_path / "sheet.png")] == [
        [40, 100, 160],
        [41, 101, 161],
    ]


@pytest.mark.parametrize("n", [1, 5, 6, 7, 13, 59, 60])
def test_each_sample_has_one_tile(tmp_path, n):
    index = write_set(tmp_path, [f"speaker {k % 4}" for k in range(n)])
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (n, n)
    levels = Counter(grey_levels(tile)[0] - 40 for tile in tiles_of(tmp_path / "sheet.png"))
    assert levels == Counter(k % 50 for k in range(n)), "each once"


@pytest.mark.parametrize("n", [61, 150])
def test_at_most_sixty_are_shown(tmp_path, n):
    index = write_set(tmp_path, [""] * n)
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (MAX_SAMPLES, n)
    assert len(tiles_of(tmp_path / "sheet.png")) == MAX_SAMPLES == 60


def test_every_speaker_is_shown_before_a_second_sample_of_any(tmp_path):
    speakers = ["anna"] * 40 + ["bob"] * 3 + ["carl", "dora", "carl"]
    draw_contact_sheet(write_set(tmp_path, speakers), tmp_path / "sheet.png")
    shown = speakers_shown(tmp_path / "sheet.png", speakers)
    assert shown[:9] == ["anna", "bob", "carl", "dora", "anna", "bob", "carl", "anna", "bob"]
    assert shown[9:] == ["anna"] * 37


def test_a_frequent_speaker_does_not_crowd_out_the_others(tmp_path):
    speakers = ["anna"] * 90 + [f"speaker {k}" for k in range(25)]
    index = write_set(tmp_path, speakers)
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (60, 115)
    levels = [grey_levels(tile)[0] - 40 for tile in tiles_of(tmp_path / "sheet.png")]
    assert sorted(levels[1:26]) == sorted(k % 50 for k in range(90, 115))


def test_more_speakers_than_tiles_are_thinned_out_evenly(tmp_path):
    speakers = [f"speaker {k:03}" for k in range(150)]
    index = write_set(tmp_path, speakers)
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (60, 150)
    levels = np.array([grey_levels(tile)[0] - 40 for tile in tiles_of(tmp_path / "sheet.png")])
    increments = np.diff(levels) % 50
    assert levels[0] == 0 and set(increments) == {2, 3}, "every second or third, from the first …"
    assert increments.sum() == 149, "… to the last"


def test_samples_of_a_speaker_are_evenly_spaced(tmp_path):
    index = write_set(tmp_path, ["anna"] * 50 + [f"s{k}" for k in range(50)])
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (60, 100)
    tiles = tiles_of(tmp_path / "sheet.png")
    annas_samples = [grey_levels(tile)[0] - 40 for tile in [tiles[0], *tiles[51:]]]
    assert annas_samples == [0, *(round(50 * k / 10) for k in range(1, 10))]


@pytest.mark.parametrize(
    "name",
    ["a.mp4", "ñ 口播.mp4", "很长的中文文件名" * 8 + ".mp4", "x" * 200, "two\nlines\tand tabs",
     "b\udcbf\udcda.mp4", "😀.mp4", ""],
)  # fmt: skip
def test_any_name_can_be_drawn_under_the_crops(tmp_path, name):
    index = write_set(tmp_path, ["anna"], [name])
    draw_contact_sheet(index, tmp_path / "sheet.png")
    label = tiles_of(tmp_path / "sheet.png")[0][CROP_SIZE:]
    assert (label < 100).sum() > 50, "text is drawn …"
    assert (label[:, -2:] == 255).all(), "… and ends before the edge"


def draw_numbers(index: Path, folder: Path) -> np.ndarray:
    """The end of the label of the first tile."""
    draw_contact_sheet(index, folder / "sheet.png")
    label = tiles_of(folder / "sheet.png")[0][CROP_SIZE:, :, 0]
    last = np.flatnonzero((label < 128).any(0))[-1]
    return label[:, last - 40 : last + 1]


def test_the_numbers_are_drawn_however_long_the_name(tmp_path):
    short, long = (
        draw_numbers(write_set(tmp_path / str(k), ["anna"], [name]), tmp_path / str(k))
        for k, name in enumerate(["a.mp4", "很长的中文文件名" * 8 + ".mp4"])
    )
    # The same glyphs, up to subpixel positions.
    assert np.corrcoef(short.ravel(), long.ravel())[0, 1] > 0.8


def test_a_chinese_name_is_drawn_in_chinese(tmp_path):
    """Not as question marks or boxes, which look the same."""
    labels = []
    for name in ("口播人物", "中文名字", "????"):
        draw_contact_sheet(write_set(tmp_path, ["anna"], [name]), tmp_path / "sheet.png")
        labels.append(tiles_of(tmp_path / "sheet.png")[0][CROP_SIZE:])
    pairs = zip(labels, labels[1:] + labels[:1], strict=True)
    assert all((left != right).any() for left, right in pairs)


# ---------------------------------------------------------------------------- errors


def test_an_index_without_samples_is_rejected(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset_index\.pkl has no samples"):
        draw_contact_sheet(write_set(tmp_path, []), tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_a_missing_index_is_rejected(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset_index\.pkl not found: run"):
        draw_contact_sheet(tmp_path / INDEX_NAME, tmp_path / "sheet.png")


def test_a_missing_sample_is_named(tmp_path):
    index = write_set(tmp_path, ["anna", "bob"])
    (tmp_path / "1.npy").unlink()
    with pytest.raises(DatasetError, match=r"1\.npy"):
        draw_contact_sheet(index, tmp_path / "sheet.png")


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "png"])
def test_another_image_format_is_rejected(tmp_path, name):
    with pytest.raises(OutputError, match=r"must end in \.png"):
        draw_contact_sheet(write_set(tmp_path, ["anna"]), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_image_that_cannot_be_written(tmp_path):
    index = write_set(tmp_path, ["anna"])
    with pytest.raises(OutputError, match="file"):
        draw_contact_sheet(index, touch(tmp_path / "file") / "sheet.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*folder\.png"):
        draw_contact_sheet(index, tmp_path / "folder.png")


# ---------------------------------------------------------------------------- the option


def test_the_option_draws_the_processed_samples(tmp_path, monkeypatch, capsys):
    write_set(tmp_path / "processed", ["anna"] * 70)
    target = tmp_path / "new folder" / "sheet.PNG"
    code, out, err = run_in_process(monkeypatch, capsys, tmp_path, "--contact-sheet", str(target))
    assert (code, err) == (0, "") and len(tiles_of(target)) == 60
    assert out.splitlines() == [f"image: {target}", "60 of 70 samples shown"]


@pytest.mark.parametrize(
    ("make", "target", "words"),
    [
        (lambda folder: None, "sheet.png", "dataset_index.pkl not found"),
        (lambda folder: write_set(folder, []), "sheet.png", "has no samples"),
        (lambda folder: write_set(folder, ["anna"]), "sheet.gif", "must end in .png"),
    ],
)
def test_an_error_is_one_line(tmp_path, monkeypatch, capsys, make, target, words):
    make(tmp_path / "processed")
    target = str(tmp_path / target)
    code, out, err = run_in_process(monkeypatch, capsys, tmp_path, "--contact-sheet", target)
    assert code == 2 and out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ") and words in line
