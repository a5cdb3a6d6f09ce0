"""Tables that say who speaks in a clip, and what its own offset is."""

import pytest

from src.core.config import load_config
from src.core.errors import DatasetError, MissingFileError
from src.dataset.reference import with_reference
from src.dataset.samples import load_samples
from tests.support.dataset_helpers import write_set


@pytest.fixture
def samples(tmp_path):
    clips = ["a/x.mp4", "b/x.mp4", "y.mp4", "z.mp4"]
    config = load_config(None, ["data.input_size=48"])
    index = write_set(tmp_path, [40] * 4, config, clip=clips, speaker=[""] * 4)
    return load_samples(index, config.data, every=True)


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_a_reference_names_offsets_and_speakers(tmp_path, samples, suffix):
    rows = ["path,speaker,offset_ms", "set/b/x.mp4,bob,-30", "set/a/x.mp4,anna,20.5",
            "set/y.mp4,cy,", "set/other.mp4,dan,1"]  # fmt: skip
    text = "\n".join(rows)
    table = tmp_path / f"table.{suffix}"
    table.write_text(text.replace(",", "\t") if suffix == "tsv" else text, encoding="utf-8-sig")
    found = with_reference(samples, table)
    assert [one.offset_ms for one in found] == [20.5, -30, 0, 0]
    assert [one.known for one in found] == [True, True, False, False]
    assert [one.speaker for one in found] == ["a__anna", "b__bob", "set__cy", ""]


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "a table with the columns"), ("path,length\na,1\n", "a table with the columns"),
     ("path,offset_ms\ny.mp4,inf\n", "inf is no offset in ms"),
     ("path,offset_ms\np/y.mp4,1\nq/y.mp4,2\n", "several rows could be y"),
     ("path,offset_ms\ny.mp4,early\n", "early is no offset in ms")],
)  # fmt: skip
def test_a_reference_that_is_none(tmp_path, samples, text, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=says):
        with_reference(samples, tmp_path / "t.csv")
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        with_reference(samples, tmp_path / "none.csv")


def test_the_row_that_is_most_alike_is_taken(tmp_path, samples):
    rows = ["path,offset_ms", "x.mp4,111", "set/b/x.mp4,7", "set/a/x.mp4", "z.mp4,"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    found = with_reference(samples, tmp_path / "t.csv")
    assert [one.offset_ms for one in found] == [0, 7, 0, 0]


def test_clips_linked_by_speaker_are_those_of_their_source(tmp_path):
    config = load_config(None, ["data.input_size=48"])
    index = write_set(tmp_path, [40], config, clip=["tv__anna/x.mp4"], speaker=["tv__anna"])
    (tmp_path / "t.csv").write_text("path,offset_ms\ntrain/web/x.mp4,5\ntrain/tv/x.mp4,9\n")
    (found,) = with_reference(load_samples(index, config.data), tmp_path / "t.csv")
    assert found.offset_ms == 9 and found.speaker == "tv__anna"
