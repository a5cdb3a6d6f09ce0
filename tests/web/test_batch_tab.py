"""The tab "Batch" in a real browser."""

import csv
import shutil

from tests.support.page_browser import (
    choose,
    download,
    in_browser,
    picture,
    wait_until_all_fits,
)

BROKEN = "a_recording_of_the_second_camera_in_the_studio_2026-05-14.mp4"  # wider than a phone
pytestmark = in_browser


def test_many_videos_fill_a_table(visit, late_clip, tmp_path):
    (tmp_path / BROKEN).write_text("not a video")
    shutil.copy(late_clip, tmp_path / "talk.mp4")
    page = visit()
    page.click("#ls-batch-button")
    files = [tmp_path / BROKEN, tmp_path / "talk.mp4"]
    choose(page, files, "batch-videos")
    page.click("#ls-batch-start")
    page.wait_for_selector("#ls-batch-table tr:nth-child(2) a")
    page.wait_for_selector("#ls-batch-cancel", state="hidden")
    rows = "#ls-batch-table tbody tr"
    assert "cannot read" in page.inner_text(f"{rows}:nth-child(1)")
    assert "corrected" in page.inner_text(f"{rows}:nth-child(2)")
    for first in (BROKEN, "talk.mp4"):
        page.click("#ls-batch-table th:first-child button")
        assert page.inner_text(f"{rows}:nth-child(1) td:first-child") == first
    summary = download(page, "#ls-batch-downloads a", tmp_path)
    lines = summary.read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 3 and {line.split(",")[0] for line in lines[1:]} == {
        BROKEN, "talk.mp4",
    }  # fmt: skip
    (offset,) = [row["offset_ms"] for row in csv.DictReader(lines) if row["offset_ms"]]
    (shown,) = filter(None, page.locator(f"{rows} td:nth-child(3)").all_inner_texts())
    assert shown == f"{float(offset):+.1f}"
    page.reload()
    page.click("#ls-batch-button")
    page.wait_for_selector(f"{rows}:nth-child(2) a")
    wait_until_all_fits(page)
    picture(page, "batch")
