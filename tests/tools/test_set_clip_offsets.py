"""Known offsets, written into an index."""

import pytest

from src.core.errors import DatasetError, MissingFileError
from src.dataset.index import read_index
from tests.support.dataset_helpers import write_set
from tests.support.training_helpers import run_script
from tools.set_clip_offsets import set_offsets


@pytest.fixture
def index(tmp_path):
    return write_set(tmp_path, [30, 30, 30])


def write_table(path, rows):
    path.write_text("\n".join(["path\toffset_ms", *rows]) + "\n", encoding="utf-8")
    return path


def clips(index):
    return [record["clip"] for record in read_index(index)["samples"]]


def test_offsets_are_written_and_the_rest_stays(tmp_path, index):
    first, second, third = clips(index)
    before = read_index(index)
    table = write_table(tmp_path / "a.tsv", [f"{first}\t-35.5", f"videos/{second}\t"])
    assert set_offsets(index, [table]) == (1, 1)
    after = read_index(index)
    assert after["settings"] == before["settings"]
    records = {record["clip"]: record for record in after["samples"]}
    assert records[first]["offset_ms"] == -35.5 and records[first]["offset_known"] is True
    assert records[second]["offset_known"] is False  # a row without an offset: unknown
    assert records[third] == before["samples"][2]


def test_a_later_table_counts(tmp_path, index):
    first = clips(index)[0]
    tables = [write_table(tmp_path / f"{ms}.tsv", [f"{first}\t{ms}"]) for ms in (10, 20)]
    assert set_offsets(index, tables) == (1, 0)
    assert read_index(index)["samples"][0]["offset_ms"] == 20


def test_bad_tables_change_nothing(tmp_path, index):
    before = index.read_bytes()
    with pytest.raises(MissingFileError):
        set_offsets(index, [tmp_path / "none.tsv"])
    with pytest.raises(DatasetError, match="not an offset"):
        set_offsets(index, [write_table(tmp_path / "b.tsv", [f"{clips(index)[0]}\tlate"])])
    assert index.read_bytes() == before


def test_the_command(tmp_path, index):
    table = write_table(tmp_path / "a.tsv", [f"{clips(index)[0]}\t40"])
    done = run_script("tools/set_clip_offsets.py", "--index", index, "--reference", table)
    assert done.returncode == 0 and "1 sample with a known clip offset" in done.stdout
