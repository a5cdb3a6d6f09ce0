"""One page, and one browser with a camera that plays a clip, for all tests of this folder."""

import subprocess

import imageio_ffmpeg
import pytest

from tests.support.page_browser import CHROMIUM, WAIT_MS, check
from tests.support.page_server import running_page
from tools.synthetic_talker import make_clip

SHIFT_MS = -240


@pytest.fixture(scope="package")
def page_server(tmp_path_factory):
    """The address and the process of the page of ``app.py``."""
    with running_page(tmp_path_factory.mktemp("page"), "--max-minutes", "2") as server:
        yield server


@pytest.fixture(scope="package")
def page_address(page_server):
    return page_server[0]


@pytest.fixture(scope="package")
def camera(late_clip, tmp_path_factory):
    """Chromium's options for a camera and a microphone that play a clip."""
    folder = tmp_path_factory.mktemp("camera")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", late_clip]
    subprocess.run([*ffmpeg, "-c:v", "mjpeg", "-q:v", "3", folder / "v.mjpeg"], check=True)
    subprocess.run([*ffmpeg, "-vn", "-ar", "48000", folder / "a.wav"], check=True)
    return [
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={folder / 'v.mjpeg'}",
        f"--use-file-for-fake-audio-capture={folder / 'a.wav'}",
    ]  # fmt: skip


# The loop of playwright would disturb tests of other folders that run one of their own.
@pytest.fixture(scope="package")
def chromium(camera):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *camera]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def new_visitor(page_address, chromium):
    """``new_visitor(language, width, script)``: the tab of a new visitor with the page open;
    ``asked`` is all that it asks for, ``errors`` are those of its scripts."""

    def open_page(language="en", width=1440, script="", **options):
        context = chromium.new_context(
            locale=language, viewport={"width": width, "height": 900}, **options
        )
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.asked, page.errors = [], []
        context.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.add_init_script(script)
        page.goto(page_address)
        page.wait_for_selector("#ls-check")
        return page

    return open_page


@pytest.fixture
def visit(new_visitor):
    """As ``new_visitor``, for one test."""
    pages = []

    def open_page(*arguments, **options):
        pages.append(new_visitor(*arguments, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()


@pytest.fixture(scope="package")
def late_clip(tmp_path_factory):
    """A drawn face whose audio lags."""
    path = tmp_path_factory.mktemp("late") / "late.mp4"
    make_clip(path, 1, 4.0, shift_ms=SHIFT_MS)
    return path


@pytest.fixture(scope="package")
def corrected(new_visitor, late_clip):
    """A page on which a clip was checked and corrected."""
    page = new_visitor()
    check(page, late_clip)
    page.wait_for_selector(".ls-verdict")
    page.click("#ls-correct")
    page.wait_for_selector(".ls-downloads a:text-is('Corrected video')")
    yield page
    page.context.close()


@pytest.fixture(scope="package")
def engine():
    from src.pipeline.engine import LipSyncInference

    return LipSyncInference(device="cpu")
