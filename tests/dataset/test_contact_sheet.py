"""The sheet shows what it says: whose crops, from where in the sample, and how many."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.core.errors import DatasetError, OutputError
from src.dataset.contact_sheet import COLUMNS, CROP, GAP, LABEL, MOST_SAMPLES, draw_contact_sheet
from src.dataset.index import INDEX_NAME, write_index
from src.preprocessing.track_file import record_type
from tests.support.processing_helpers import run_here, touch

FRAMES = 21  # of each sample; frame t is 10 t brighter than the first
TILE = (CROP + LABEL, 3 * CROP)


def write_set(folder: Path, speakers: list[str], names: list[str] | None = None) -> Path:
    """An index whose sample ``n`` begins with the grey level ``n % 50``; a clip each."""
    folder.mkdir(exist_ok=True)
    records = []
    for number, speaker in enumerate(speakers):
        sample = np.zeros(FRAMES, record_type(48, 13, 4))
        sample["crop"] = (number % 50 + 10 * np.arange(FRAMES))[:, None, None]
        sample["box"] = [10, 20, 10 + 100 + number, 90]
        np.save(folder / f"{number}.npy", sample)
        clip = names[number] if names else f"{speaker}/{number}.mp4"
        records.append({"id": f"{clip}#0", "file": f"{number}.npy", "clip": clip,
                        "speaker": speaker, "n_frames": FRAMES})  # fmt: skip
    write_index(folder / INDEX_NAME, {}, records)
    return folder / INDEX_NAME


def tiles_of(path: Path) -> list[np.ndarray]:
    """The pictures on a sheet, uint8 [CROP + LABEL, 3 CROP, 3], without empty places."""
    sheet = cv2.imread(str(path))
    height, width = TILE
    rows, columns = (
        (sheet.shape[0] - GAP) // (height + GAP),
        (sheet.shape[1] - GAP) // (width + GAP),
    )
    assert sheet.shape == (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    assert columns == COLUMNS
    places = [
        (GAP + row * (height + GAP), GAP + column * (width + GAP))
        for row in range(rows)
        for column in range(columns)
    ]
    tiles = [sheet[y : y + height, x : x + width] for y, x in places]
    shown = [tile for tile in tiles if (tile != 255).any()]
    assert len(tiles) - len(shown) < COLUMNS and all((t == 255).all() for t in tiles[len(shown) :])
    return shown


def grey_levels(tile: np.ndarray) -> list[int]:
    """Of the three crops of a tile, each of which is of one level."""
    crops = [tile[:CROP, start : start + CROP] for start in range(0, 3 * CROP, CROP)]
    assert all(np.ptp(crop) == 0 for crop in crops)
    return [int(crop[0, 0, 0]) for crop in crops]


def speakers_shown(path: Path, speakers: list[str]) -> list[str]:
    """Whose crops they are, in order; the first 50 samples at most can be told apart."""
    assert len(speakers) <= 50
    return [speakers[grey_levels(tile)[0] - 40] for tile in tiles_of(path)]


def test_three_crops_of_each_sample_from_its_parts(tmp_path):
    index = write_set(tmp_path, ["anna", "bob"])
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (2, 2)
    # Of 21 frames those at 20, 50 and 80 %: the 4th, 10th and 16th.
    assert [grey_levels(tile) for tile in tiles_of(tmp_path / "sheet.png")] == [
        [40, 100, 160],
        [41, 101, 161],
    ]


@pytest.mark.parametrize("n", [1, 5, 6, 7, 13, 59, 60])
def test_one_tile_a_sample(tmp_path, n):
    index = write_set(tmp_path, [f"speaker {k % 4}" for k in range(n)])
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (n, n)
    levels = Counter(grey_levels(tile)[0] - 40 for tile in tiles_of(tmp_path / "sheet.png"))
    assert levels == Counter(k % 50 for k in range(n)), "each once"


@pytest.mark.parametrize("n", [61, 150])
def test_at_most_sixty_are_shown(tmp_path, n):
    index = write_set(tmp_path, [""] * n)
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (MOST_SAMPLES, n)
    assert len(tiles_of(tmp_path / "sheet.png")) == MOST_SAMPLES == 60


def test_everybody_is_shown_before_a_second_of_anybody(tmp_path):
    speakers = ["anna"] * 40 + ["bob"] * 3 + ["carl", "dora", "carl"]
    draw_contact_sheet(write_set(tmp_path, speakers), tmp_path / "sheet.png")
    shown = speakers_shown(tmp_path / "sheet.png", speakers)
    assert shown[:9] == ["anna", "bob", "carl", "dora", "anna", "bob", "carl", "anna", "bob"]
    assert shown[9:] == ["anna"] * 37


def test_a_busy_speaker_does_not_crowd_out_the_others(tmp_path):
    speakers = ["anna"] * 90 + [f"speaker {k}" for k in range(25)]
    index = write_set(tmp_path, speakers)
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (60, 115)
    levels = [grey_levels(tile)[0] - 40 for tile in tiles_of(tmp_path / "sheet.png")]
    assert sorted(levels[1:26]) == sorted(k % 50 for k in range(90, 115))


def test_more_speakers_than_places_are_thinned_out_evenly(tmp_path):
    speakers = [f"speaker {k:03}" for k in range(150)]
    index = write_set(tmp_path, speakers)
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (60, 150)
    levels = np.array([grey_levels(tile)[0] - 40 for tile in tiles_of(tmp_path / "sheet.png")])
    steps = np.diff(levels) % 50
    assert levels[0] == 0 and set(steps) == {2, 3}, "every second or third, from the first …"
    assert steps.sum() == 149, "… to the last"


def test_samples_of_a_speaker_are_taken_from_all_over(tmp_path):
    index = write_set(tmp_path, ["anna"] * 50 + [f"s{k}" for k in range(50)])
    assert draw_contact_sheet(index, tmp_path / "sheet.png") == (60, 100)
    tiles = tiles_of(tmp_path / "sheet.png")
    annas = [grey_levels(tile)[0] - 40 for tile in [tiles[0], *tiles[51:]]]
    assert annas == [0, *(round(50 * k / 10) for k in range(1, 10))]


@pytest.mark.parametrize(
    "name",
    ["a.mp4", "ñ 口播.mp4", "很长的中文文件名" * 8 + ".mp4", "x" * 200, "two\nlines\tand tabs",
     "b\udcbf\udcda.mp4", "😀.mp4", ""],
)  # fmt: skip
def test_any_name_can_be_written_under_the_crops(tmp_path, name):
    index = write_set(tmp_path, ["anna"], [name])
    draw_contact_sheet(index, tmp_path / "sheet.png")
    label = tiles_of(tmp_path / "sheet.png")[0][CROP:]
    assert (label < 100).sum() > 50, "something is written …"
    assert (label[:, -2:] == 255).all(), "… and ends before the edge"


def numbers_of(index: Path, folder: Path) -> np.ndarray:
    """The ink under the first crops, moved to the right edge."""
    draw_contact_sheet(index, folder / "sheet.png")
    label = tiles_of(folder / "sheet.png")[0][CROP:, :, 0]
    last = np.flatnonzero((label < 128).any(0))[-1]
    return label[:, last - 40 : last + 1]


def test_however_long_the_name_the_numbers_are_there(tmp_path):
    one, other = (
        numbers_of(write_set(tmp_path / str(k), ["anna"], [name]), tmp_path / str(k))
        for k, name in enumerate(["a.mp4", "很长的中文文件名" * 8 + ".mp4"])
    )
    # The same letters, where they stand between the pixels aside.
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8


def test_a_chinese_name_is_written_in_chinese(tmp_path):
    """Not as question marks or boxes, which look alike."""
    labels = []
    for name in ("口播人物", "中文名字", "????"):
        draw_contact_sheet(write_set(tmp_path, ["anna"], [name]), tmp_path / "sheet.png")
        labels.append(tiles_of(tmp_path / "sheet.png")[0][CROP:])
    assert all((one != other).any() for one, other in zip(labels, labels[1:] + labels[:1],
                                                          strict=True))  # fmt: skip


# ---------------------------------------------------------------------------- what goes wrong


def test_an_index_without_samples(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset_index\.pkl has no samples"):
        draw_contact_sheet(write_set(tmp_path, []), tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_a_missing_index(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset_index\.pkl not found: run"):
        draw_contact_sheet(tmp_path / INDEX_NAME, tmp_path / "sheet.png")


def test_a_missing_sample_is_named(tmp_path):
    index = write_set(tmp_path, ["anna", "bob"])
    (tmp_path / "1.npy").unlink()
    with pytest.raises(DatasetError, match=r"1\.npy"):
        draw_contact_sheet(index, tmp_path / "sheet.png")


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "png"])
def test_another_kind_of_picture_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"must end in \.png"):
        draw_contact_sheet(write_set(tmp_path, ["anna"]), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_picture_that_cannot_be_written(tmp_path):
    index = write_set(tmp_path, ["anna"])
    with pytest.raises(OutputError, match="file"):
        draw_contact_sheet(index, touch(tmp_path / "file") / "sheet.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*folder\.png"):
        draw_contact_sheet(index, tmp_path / "folder.png")


# ---------------------------------------------------------------------------- the option


def test_the_option_draws_what_was_processed(tmp_path, monkeypatch, capsys):
    write_set(tmp_path / "processed", ["anna"] * 70)
    target = tmp_path / "new folder" / "sheet.PNG"
    code, out, err = run_here(monkeypatch, capsys, tmp_path, "--contact-sheet", str(target))
    assert (code, err) == (0, "") and len(tiles_of(target)) == 60
    assert out.splitlines() == [f"picture: {target}", "60 of 70 samples are shown"]


@pytest.mark.parametrize(
    ("make", "target", "words"),
    [
        (lambda folder: None, "sheet.png", "dataset_index.pkl not found"),
        (lambda folder: write_set(folder, []), "sheet.png", "has no samples"),
        (lambda folder: write_set(folder, ["anna"]), "sheet.gif", "must end in .png"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, monkeypatch, capsys, make, target, words):
    make(tmp_path / "processed")
    target = str(tmp_path / target)
    code, out, err = run_here(monkeypatch, capsys, tmp_path, "--contact-sheet", target)
    assert code == 2 and out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ") and words in line
