"""The page as a whole in a real browser: what it loads, whom it answers, and how it looks."""

import os
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from src.media.writer import write_wav
from tests.support.page_browser import (
    POOR_CONTRAST,
    TABS,
    WAIT_MS,
    WORDS,
    check,
    choose,
    in_browser,
    open_tab,
    verdict,
    wait_for_videos,
    wait_until_all_fits,
)
from tests.support.page_server import ROOT
from tests.support.unplayable import unplayable_copy
from tools.synthetic_talker import clip_parts

pytestmark = in_browser

# Words of another language.
FOREIGN = {"en": r"[\u3000-\u9fff]+", "zh-CN": r"[A-Za-z]{3,}"}
KEPT = {"lipsync", "English", "中文", "mp4", "mov", "mkv", "webm"}
MAX_WIDTH, MARGIN = 1200, 40  # px, of the content, and at each side of it
MIN_CONTRAST = 4.5  # WCAG AA


def test_nothing_is_loaded_from_elsewhere(corrected):
    corrected.wait_for_selector(".js-plotly-plot")
    hosts = {urlsplit(url).hostname for url in corrected.asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"} and len(corrected.asked) > 20
    assert corrected.errors == []


def test_every_control_has_a_name(corrected):
    nameless = corrected.evaluate(
        """[...document.querySelectorAll("button, input, video, progress, a")].filter(e =>
            e.offsetParent !== null && e.type !== "file" &&
            !(e.innerText || e.ariaLabel || e.title || e.labels?.length ||
              e.getAttribute("aria-labelledby") || e.querySelector("img[alt]"))
        ).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_the_files_of_another_visitor_are_not_seen(corrected, visit, late_clip):
    corrected.reload()  # without the upload, which the results need no longer
    corrected.wait_for_selector(".ls-verdict")
    choose(corrected, late_clip)
    other = visit()
    assert other.locator(".ls-verdict").count() == 0
    addresses = [
        corrected.get_attribute("#ls-players video", "src"),
        corrected.get_attribute(".ls-downloads a", "href"),
        corrected.get_attribute("#ls-video a[href*='file=']", "href"),
    ]
    for address in addresses:
        address = urljoin(corrected.url, address.replace("?download", ""))
        assert corrected.request.get(address).status == 200, address
        assert other.request.get(address).status == 404, address


@pytest.mark.parametrize("language", WORDS)
def test_each_tab_fits_its_page_and_can_be_read(corrected, language):
    """With results, light and dark."""
    page = corrected.context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(urljoin(corrected.url, f"/{language.replace('-', '_')}/"))
    page.wait_for_selector(".ls-verdict")
    page.add_style_tag(content="* { transition: none !important; }")  # colours change at once
    for tab in TABS:
        open_tab(page, tab)
        for width in (1440, 390):
            wait_until_all_fits(page, width)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                content = page.locator("main").bounding_box()
                assert content["width"] > min(width, MAX_WIDTH) - 2 * MARGIN, (tab, width)
                assert page.evaluate(POOR_CONTRAST, MIN_CONTRAST) == [], (tab, width, scheme)
    page.close()


def test_all_words_are_in_the_language_that_was_chosen_on_the_page(visit):
    """Also those of Gradio, such as "Drop File Here", and whatever the browser prefers."""
    page = visit("zh-CN")
    for language in WORDS:
        page.click(".ls-top nav a")
        check_button = f"#ls-check:text-is('{WORDS[language]['check']}')"
        page.wait_for_selector(f"html[lang={language}] {check_button}")
        for tab in TABS:
            open_tab(page, tab)
            words = set(re.findall(FOREIGN[language], page.inner_text("body"))) - KEPT
            assert words == set(), tab


@pytest.mark.parametrize("name", ["prores.mov", "old.avi"])
def test_what_no_browser_plays_is_shown(visit, late_clip, name, tmp_path):
    """What phones record is below."""
    page = visit()
    check(page, unplayable_copy(late_clip, name, tmp_path))
    wait_for_videos(page, "players", 1)
    assert page.evaluate("document.querySelector('#ls-players video').videoWidth") > 0
    assert re.search(WORDS["en"]["late"], verdict(page))


def test_two_visitors_at_once_have_their_own_results(visit, late_clip, tmp_path):
    """One with audio of its own; and one in Chinese, with a video of a phone, which no browser
    plays, and a reload in the middle."""
    phone_clip = unplayable_copy(late_clip, "hevc.mov", tmp_path)
    write_wav(tmp_path / "speech.wav", clip_parts(1, 4.0, 200)[2], 24_000)
    words = WORDS["zh-CN"]
    first, phone = visit(), visit("zh-CN", 390)
    assert phone.inner_text("#ls-check") == words["check"]
    assert phone.evaluate("document.documentElement.lang") == "zh-CN"
    choose(first, tmp_path / "speech.wav", "audio")
    check(first, late_clip)
    check(phone, phone_clip)
    phone.wait_for_selector(".ls-progress")
    phone.reload()
    first.wait_for_selector(".ls-verdict")
    assert re.search(r"[Aa]udio is \d+ ms early\.", verdict(first))
    phone.wait_for_selector(".ls-verdict")
    assert re.search(words["late"], verdict(phone))
    wait_for_videos(phone, "players", 1)
    video = "document.querySelector('#ls-players video')"
    assert phone.evaluate(f"{video}.videoWidth") > 0
    phone.evaluate(f"{video}.play()")
    phone.wait_for_function(f"{video}.currentTime > 0.3")
    wait_until_all_fits(phone)


def test_what_is_not_ones_own_is_not_answered(corrected, page_address):
    page = corrected
    for path in ("etc/passwd", str(ROOT / "config.yaml"), "../../config.yaml"):
        assert page.request.get(f"{page_address}/en/gradio_api/file={path}").status == 404
    for path in ("proxy=http://127.0.0.1:1/", "vibe-code/", "openapi.json", "deep_link"):
        assert page.request.get(f"{page_address}/en/gradio_api/{path}").status == 404
    other = {"Origin": "http://example.org"}
    address = f"{page_address}/en/gradio_api/queue/join"
    assert page.request.post(address, headers=other).status == 403
    assert page.request.get(page_address, headers={"Host": "example.org"}).status == 403


@pytest.mark.skipif("PAGE_SCREENSHOTS" not in os.environ, reason="names no folder for images")
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", WORDS)
def test_screenshots(visit, late_clip, language, scheme, width):
    """Writes what the page looks like, for people: those in docs/ are from here, of a clip whose
    audio lags by 240 ms."""
    folder = Path(os.environ["PAGE_SCREENSHOTS"])
    name = f"page_{language}_{scheme}_{width}"
    page = visit(language, width, color_scheme=scheme)
    check(page, late_clip)
    page.wait_for_selector("#ls-correct")
    page.click("#ls-correct")
    wait_for_videos(page, "players", 2)
    page.wait_for_selector(".js-plotly-plot")
    page.locator("#ls-players").scroll_into_view_if_needed()  # else its frames are not drawn
    page.wait_for_timeout(2000)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    open_tab(page, "batch", width)
    page.screenshot(path=folder / f"{name}_batch.png", full_page=True)
