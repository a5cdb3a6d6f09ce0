"""Cells of tables: no text becomes a formula, and each is read as it was."""

import pytest

from src.core.table_cells import cell, read_cell


@pytest.mark.parametrize("text", [
    "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1",
    "＠x", "=HYPERLINK(\"http://x\").mp4", "'=1", "''-a", "-", "+", "=", "-1e", "1-", "--5",
])  # fmt: skip
def test_a_text_is_no_formula(text):
    written = cell(text)
    assert written[0] not in "=+-@\t\r\n＝＋－＠" and read_cell(written) == text


@pytest.mark.parametrize("value", [
    "", "a.mp4", "口播", "-12.5", "+3", "-40.0", "1e-05", -7, 0.25, "'", "'a", "it's", "a=b",
])  # fmt: skip
def test_other_cells_are_as_they_were(value):
    assert cell(value) == str(value) and read_cell(cell(value)) == str(value)
