"""The tab "New speech" in a real browser."""

import subprocess

import imageio_ffmpeg
import pytest

from src.media.credentials import read_remade
from tests.support.page_browser import (
    WORDS,
    choose,
    download,
    in_browser,
    picture,
    wait_for_videos,
    wait_until_all_fits,
)
from tests.support.page_server import ROOT

FOOTAGE = ROOT.parent / "shared" / "data" / "presenters" / "wth_angie_sq.mp4"
FOOTAGE_S = 12
pytestmark = in_browser


@pytest.fixture
def footage(tmp_path):
    """Little more than is required, and small."""
    path = tmp_path / FOOTAGE.name
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", FOOTAGE, "-t", str(FOOTAGE_S),
         "-vf", "scale=400:-2", "-preset", "veryfast", path],
        check=True,
    )  # fmt: skip
    return path


@pytest.mark.skipif(not FOOTAGE.is_file(), reason=f"no real footage: {FOOTAGE} is missing")
def test_a_person_says_what_was_typed(visit, late_clip, footage, tmp_path):
    """Not before it is confirmed that they agreed, and not of footage that cannot be used."""
    page = visit()
    page.click("#ls-new-speech-button")
    choose(page, late_clip, "footage")
    page.click("#ls-learn")
    page.wait_for_selector("#ls-speech-error :text('agreed')")
    page.check("#ls-consent input")
    page.click("#ls-learn")
    page.wait_for_selector("#ls-speech-error p:not(:text('agreed'))")
    assert "at least 10 s are required" in page.inner_text("#ls-speech-error")
    page.reload()
    page.click("#ls-new-speech-button")
    choose(page, footage, "footage")
    page.check("#ls-consent input")
    page.click("#ls-learn")
    page.wait_for_selector(f"#ls-learnt :text('{footage.name}')")
    page.fill("#ls-speech-text textarea", "Good morning to all of you.")
    page.click("#ls-make")
    wait_for_videos(page, "speech-players", 2)
    assert "in sync" in page.inner_text("#ls-speech-message")
    new = download(page, "#ls-speech-downloads a:text-is('New video')", tmp_path)
    assert read_remade(new) is not None  # it says so of itself
    wait_until_all_fits(page)
    picture(page, "new-speech")
    # What is cancelled leaves the earlier result. (A minute: a sentence takes a second.)
    page.fill("#ls-speech-text textarea", "Good evening to all of you. " * 30)
    page.click("#ls-make")
    page.wait_for_selector(".ls-progress progress[value]")
    page.click("#ls-speech-cancel")
    page.wait_for_selector(f"#ls-speech-error :text('{WORDS['en']['cancelled']}')")
    assert page.locator("#ls-speech-players video").count() == 2
