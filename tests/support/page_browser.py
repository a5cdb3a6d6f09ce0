"""The page as a browser shows it: where things are, and what a visitor does."""

import importlib.util
import os
import shutil
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.limits import HANG_S

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
WAIT_MS = 1000 * HANG_S  # so long that only what hangs reaches it
WORDS = {
    "en": {"late": r"[Aa]udio is \d+ ms late\.", "check": "Check", "cancelled": "Cancelled."},
    "zh-CN": {"late": r"音频滞后 \d+ 毫秒。", "check": "开始检查", "cancelled": "已取消。"},
}  # fmt: skip
SETTLED_MS = 120_000  # a plot has its size by then
TABS = ("check-and-correct", "new-speech", "batch", "training", "live")


def _is_missing(name: str) -> bool:
    return importlib.util.find_spec(name) is None


# Of each test with a browser.
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
    pytest.mark.skipif(_is_missing("playwright"), reason="playwright is not installed"),
    pytest.mark.skipif(
        _is_missing("gradio"), reason="gradio is not installed (requirements-web.txt)"
    ),
]


def choose(page, path, which="video"):
    """Upload a file, or several, and wait until all have arrived."""
    page.set_input_files(f"#ls-{which} input[type=file]", path)
    page.wait_for_selector(f"#ls-{which} .file-preview")


def check(page, path):
    """Have a video checked."""
    choose(page, path)
    page.click("#ls-check")


def open_tab(page, tab, width=1440):
    """Choose a tab that may be in a menu on a narrow page."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.click(f"#ls-{tab}-button")
    page.set_viewport_size({"width": width, "height": 900})


def verdict(page):
    """The result in one sentence."""
    return page.inner_text(".ls-verdict h2")


def download(page, link, folder):
    """Click what downloads a file; the file in a folder, under the name that is proposed."""
    with page.expect_download() as waiting:
        page.click(link)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def wait_for_videos(page, part, n):
    """Wait until so many videos in a part of the page show a frame."""
    videos = f"[...document.querySelectorAll('#ls-{part} video')]"
    page.wait_for_function(f"{videos}.length === {n} && {videos}.every(v => v.readyState >= 2)")


def wait_until_all_fits(page, width=390):
    """Make the page so many pixels wide, and wait until nothing in it is cut off at its sides;
    plots take their new size a little later."""
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(f"!({CUT_OFF})().length", timeout=SETTLED_MS)


def picture(page, name):
    """Write what a tab looks like, for people, where a folder is named for images; the page is
    loaded anew for it."""
    if "PAGE_SCREENSHOTS" not in os.environ:
        return
    for language in ("en", "zh_CN"):
        for width, scheme in ((1440, "light"), (390, "dark")):
            page.emulate_media(color_scheme=scheme)
            page.goto(urljoin(page.url, f"/{language}/"))
            open_tab(page, name, width)
            page.wait_for_timeout(3000)
            path = Path(os.environ["PAGE_SCREENSHOTS"], f"{name}_{language}_{width}_{scheme}.png")
            page.screenshot(path=path, full_page=True)
    open_tab(page, name)


# What reaches beyond the sides of the page, which hides it, or can only be seen by scrolling and
# should not be: the first columns of a table.
CUT_OFF = """() => {
    const scrolls = e => e && (["auto", "scroll"].includes(getComputedStyle(e).overflowX)
        || scrolls(e.parentElement));
    return [...document.querySelectorAll("body *")].filter(e => {
        const { left, right, width } = e.getBoundingClientRect();
        return width > 1 && (left < -1 && right > 0 || right > innerWidth + 1)
            && e.checkVisibility({ visibilityProperty: true, opacityProperty: true })
            && !e.closest(".visually-hidden") && !e.ownerSVGElement
            && (!scrolls(e.parentElement) || e.matches(".ls-table :is(th, td):nth-child(-n + 2)"));
    });
}"""
# Text on the colours of what it stands on, as WCAG counts it: 4.5 is required of small text.
POOR_CONTRAST = """minimum => {
    const parse = colour => {
        const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.slice(0, 3).map(v => {
            v /= 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const over = (top, ground) =>
        [0, 1, 2].map(i => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
    const chain = element => element ? [...chain(element.parentElement), element] : [];
    const poor = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
        const { width, height } = element.getBoundingClientRect();
        if (!text || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })
            || width < 2 || height < 2 || element.closest("[aria-hidden=true]")) continue;
        let ground = [255, 255, 255, 1], opacity = 1;
        for (const each of chain(element)) {
            const style = getComputedStyle(each);
            ground = over(parse(style.backgroundColor), ground);
            opacity *= Number(style.opacity);
        }
        const style = getComputedStyle(element);
        const colour = parse(element instanceof SVGElement ? style.fill : style.color);
        colour[3] *= opacity;
        const [dark, light] = [over(colour, ground), ground].map(luminance).sort((a, b) => a - b);
        const contrast = (light + 0.05) / (dark + 0.05);
        if (contrast < minimum) poor.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return [...new Set(poor)];
}"""
