"""Reference tables of speakers and clip offsets."""

import pytest

from src.core.config import load_config
from src.core.errors import DatasetError, MissingFileError
from src.dataset import reference
from src.dataset.reference import apply_reference
from src.dataset.samples import Sample, load_samples
from tests.support.dataset_helpers import write_set


@pytest.fixture
def samples(tmp_path):
    clips = ["a/x.mp4", "b/x.mp4", "y.mp4", "z.mp4"]
    config = load_config(None, ["data.input_size=48"])
    index = write_set(tmp_path, [40] * 4, config, clip=clips, speaker=[""] * 4)
    return load_samples(index, config.data, include_unusable=True)


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_offsets_and_speakers_of_a_reference_table(tmp_path, samples, suffix):
    rows = ["path,speaker,offset_ms", "set/b/x.mp4,bob,-30", "set/a/x.mp4,anna,20.5",
            "set/y.mp4,cy,", "set/other.mp4,dan,1"]  # fmt: skip
    text = "\n".join(rows)
    table = tmp_path / f"table.{suffix}"
    table.write_text(text.replace(",", "\t") if suffix == "tsv" else text, encoding="utf-8-sig")
    result = apply_reference(samples, table)
    assert [sample.offset_ms for sample in result] == [20.5, -30, 0, 0]
    assert [sample.offset_known for sample in result] == [True, True, False, False]
    assert [sample.speaker for sample in result] == ["a__anna", "b__bob", "set__cy", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "a table with the columns path and offset_ms is required"),
     ("path,length\na,1\n", "a table with the columns path and offset_ms is required"),
     ("path,offset_ms\ny.mp4,inf\n", "inf is not an offset in ms"),
     ("path,offset_ms\np/y.mp4,1\nq/y.mp4,2\n", "several rows match y.mp4, with different offsets"),
     ("path,offset_ms\ny.mp4,early\n", "early is not an offset in ms")],
)  # fmt: skip
def test_an_invalid_reference_table_is_rejected(tmp_path, samples, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        apply_reference(samples, tmp_path / "t.csv")
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        apply_reference(samples, tmp_path / "none.csv")


def test_the_best_matching_row_is_used(tmp_path, samples):
    rows = ["path,offset_ms", "x.mp4,111", "set/b/x.mp4,7", "set/a/x.mp4", "z.mp4,"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    result = apply_reference(samples, tmp_path / "t.csv")
    assert [sample.offset_ms for sample in result] == [0, 7, 0, 0]


def test_a_folder_of_source_and_speaker_matches_its_source(tmp_path):
    config = load_config(None, ["data.input_size=48"])
    index = write_set(tmp_path, [40], config, clip=["tv__anna/x.mp4"], speaker=["tv__anna"])
    (tmp_path / "t.csv").write_text("path,offset_ms\ntrain/web/x.mp4,5\ntrain/tv/x.mp4,9\n")
    (sample,) = apply_reference(load_samples(index, config.data), tmp_path / "t.csv")
    assert sample.offset_ms == 9 and sample.speaker == "tv__anna"


def sample_of(clip: str) -> Sample:
    return Sample(f"{clip}#0", clip, "", clip, clip, 100)


@pytest.mark.parametrize(
    ("clip", "row", "is_of_clip"),
    [("a/x.mp4", "b/x.mp4", False), ("a/x.mp4", "set/b/x.mp4", False),
     ("a/x.mp4", "a/b/x.mp4", False), ("test/a/x.mp4", "train/a/x.mp4", False),
     ("tv__anna/x.mp4", "web/x.mp4", False), ("a/x.mp4", "a/x.mp4", True),
     ("a/x.mp4", "set/a/x.mp4", True), ("set/a/x.mp4", "a/x.mp4", True),
     ("set/a/x.mp4", "x.mp4", True), ("a__b/x.mp4", "set/a__b/x.mp4", True),
     ("data/tv__anna/x.mp4", "tv/x.mp4", True), ("tv__anna/x.mp4", "test/tv/x.mp4", True)],
)  # fmt: skip
def test_a_row_of_another_folder_is_not_the_clips(tmp_path, clip, row, is_of_clip):
    (tmp_path / "t.csv").write_text(f"path,speaker,offset_ms\n{row},anna,40\n")
    (result,) = apply_reference([sample_of(clip)], tmp_path / "t.csv")
    assert (result.offset_ms, result.offset_known) == ((40, True) if is_of_clip else (0, False))
    assert bool(result.speaker) == is_of_clip


def test_a_row_that_may_be_of_several_clips_is_rejected(tmp_path):
    samples = [sample_of("a/x.mp4"), sample_of("b/x.mp4")]
    (tmp_path / "t.csv").write_text("path,offset_ms\nx.mp4,40\n")
    with pytest.raises(DatasetError, match=r"row x\.mp4 matches both a/x\.mp4 and b/x\.mp4: write"):
        apply_reference(samples, tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path,offset_ms\nx.mp4,40\na/x.mp4,20\n")
    assert [s.offset_ms for s in apply_reference(samples, tmp_path / "t.csv")] == [20, 40]


def test_each_path_is_taken_apart_once(tmp_path, monkeypatch):
    """Many collections call the file the same in every folder."""
    calls, real = [], reference._parts
    monkeypatch.setattr(reference, "_parts", lambda path: calls.append(path) or real(path))
    rows = [f"{number}/clip.mp4,{number}" for number in range(500)]
    (tmp_path / "t.csv").write_text("\n".join(["path,offset_ms", *rows]))
    samples = [sample_of(f"{number}/clip.mp4") for number in range(500)]
    result = apply_reference(samples, tmp_path / "t.csv")
    assert [sample.offset_ms for sample in result] == list(range(500))
    assert len(calls) <= 5 * 500
