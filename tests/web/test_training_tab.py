"""The tab "Training" in a real browser."""

from urllib.parse import urljoin

from src.checkpoints.checkpoint import load_trained
from tests.support.page_browser import (
    choose,
    download,
    in_browser,
    open_tab,
    picture,
    wait_until_all_fits,
)
from tools.synthetic_talker import make_corpus

BROKEN = "a_recording_of_the_second_camera_in_the_studio_2026-05-14.mp4"  # wider than a phone
pytestmark = in_browser


def test_a_model_is_trained_with_ones_own_clips(visit, tmp_path):
    """It is stopped, and goes on."""
    make_corpus(tmp_path, 3, 2.4, n_speakers=1)
    (tmp_path / "videos" / BROKEN).write_text("not a video")
    files = sorted((tmp_path / "videos").iterdir())
    page = visit()
    page.click("#ls-training-button")
    choose(page, files, "clips")
    page.click("#ls-prepare")
    page.wait_for_function("document.querySelector('#ls-found img')?.naturalWidth > 300")
    assert "3 of 4 clips can be used: 3 samples" in page.inner_text("#ls-found")
    assert page.inner_text("#ls-found td:first-child") == BROKEN
    assert f"cannot read {BROKEN}:" in page.inner_text("#ls-found td:last-child")
    page.fill("#ls-epochs input[type=number]", "1000")
    page.press("#ls-epochs input[type=number]", "Tab")
    page.uncheck("#ls-pretrained input")
    page.click("#ls-train")
    page.wait_for_selector(".js-plotly-plot:visible")
    page.click("#ls-training-stop")
    page.wait_for_selector("#ls-training-message :text('Stopped.')")
    shown = "[...document.querySelectorAll('.js-plotly-plot')].find(p => p.offsetParent)"
    n_done = page.evaluate(f"{shown}.data[0].x.length")
    page.reload()
    page.click("#ls-training-button")
    page.fill("#ls-epochs input[type=number]", str(n_done + 1))
    page.press("#ls-epochs input[type=number]", "Tab")
    page.click("#ls-resume")
    page.wait_for_selector("#ls-training-message :text('best_model.pth')")
    page.wait_for_function(f"{shown}.data[0].x.length === {n_done + 1}")
    mine = download(page, "#ls-training-downloads a", tmp_path)
    assert load_trained(mine, "cpu").calibration
    wait_until_all_fits(page)
    picture(page, "training")
    page.goto(urljoin(page.url, "/en/"))
    open_tab(page, "training")
    page.click("#ls-clear")
    page.wait_for_selector("#ls-clear:has-text('again')")
    assert page.is_visible("#ls-found img")
    page.click("#ls-clear")
    page.wait_for_selector("#ls-found img", state="detached")
    assert not page.is_visible("#ls-train")
