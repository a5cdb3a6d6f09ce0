"""The page in a real browser, with one server for all tests."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import imageio_ffmpeg
import numpy as np
import pytest

from src.checkpoints.checkpoint import load_trained
from src.core.constants import FPS
from src.media.credentials import read_remade
from src.media.writer import write_clip, write_wav
from src.pipeline.engine import LipSyncInference
from tests.support.limits import HANG_S
from tools.synthetic_talker import clip_parts, make_clip, make_corpus

pytest.importorskip("gradio", reason="gradio is not installed (requirements-web.txt)")
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]
FOOTAGE = ROOT.parent / "shared" / "data" / "presenters" / "wth_angie_sq.mp4"
WAIT_MS = 1000 * HANG_S  # so long that only what hangs reaches it
SHIFT_MS = -240
WORDS = {
    "en": {"late": r"[Aa]udio is \d+ ms late\.", "check": "Check", "cancelled": "Cancelled."},
    "zh-CN": {"late": r"音频滞后 \d+ 毫秒。", "check": "开始检查", "cancelled": "已取消。"},
}  # fmt: skip


# ---------------------------------------------------------------------------- server and browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of the page."""
    temporary = tmp_path_factory.mktemp("page")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    with open(temporary / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--no-browser", "--port", str(port), "--max-minutes", "2"],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    while process.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    assert process.poll() is None, (temporary / "log").read_text()
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    process.wait(HANG_S)
    assert list(temporary.glob("lipsync-page-*")) == []  # nothing of anybody stays


@pytest.fixture(scope="module")
def chromium():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(server, chromium):
    """``visit(language, width)``: a new visitor's tab with the page open."""
    contexts = []

    def open_page(language="en", width=1440, **options):
        context = chromium.new_context(
            locale=language, viewport={"width": width, "height": 900}, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(server)
        page.wait_for_selector("#ls-check")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def late_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("late") / "late.mp4"
    make_clip(path, 1, 4.0, shift_ms=SHIFT_MS)
    return path


@pytest.fixture(scope="module")
def long_clip(late_clip, tmp_path_factory):
    """A clip that takes long to check: 80 s."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "19", "-i", late_clip,
         "-c", "copy", path],
        check=True,
    )  # fmt: skip
    return path


def choose(page, path, which="video"):
    """Upload a file, and wait until it has arrived."""
    page.set_input_files(f"#ls-{which} input[type=file]", path)
    page.wait_for_selector(f"#ls-{which} .file-preview")


def check(page, path):
    choose(page, path)
    page.click("#ls-check")


def open_tab(page, tab, width):
    """Choose a tab that may be in a menu on a narrow page."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.click(f"#ls-{tab}-button")
    page.set_viewport_size({"width": width, "height": 900})


def picture(page, tab):
    """Write what a tab looks like, for people, where a folder is named for images."""
    if "PAGE_SCREENSHOTS" not in os.environ:
        return
    for language in ("en", "zh_CN"):
        for width in (1440, 390):
            page.goto(urljoin(page.url, f"/{language}/"))
            open_tab(page, tab, width)
            page.wait_for_timeout(3000)
            name = f"page_{language}_{width}_{tab}.png"
            page.screenshot(path=Path(os.environ["PAGE_SCREENSHOTS"]) / name, full_page=True)


def verdict(page):
    return page.inner_text(".ls-verdict h2")


def download(page, text, folder):
    with page.expect_download() as waiting:
        page.click(f".ls-downloads a:text-is('{text}')")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


# ---------------------------------------------------------------------------- what people do


@pytest.fixture(scope="module")
def engine():
    return LipSyncInference(device="cpu")


def offset_ms(engine, path):
    return engine.compute_sync_score(path)[1]["offset_ms"]


@pytest.fixture(scope="module")
def corrected(server, chromium, late_clip):
    """A page on which a clip was checked and corrected, with all that the browser asked for and
    the errors of its scripts."""
    context = chromium.new_context(locale="en", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.asked, page.errors = [], []
    context.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(server)
    page.wait_for_selector("#ls-check")
    check(page, late_clip)
    page.wait_for_selector(".ls-verdict")
    page.click("#ls-correct")
    page.wait_for_selector(".ls-downloads a:text-is('Corrected video')")
    yield page
    context.close()


def test_the_verdict_is_a_sentence_and_the_corrected_copy_is_in_sync(corrected, engine, tmp_path):
    assert re.search(WORDS["en"]["late"], verdict(corrected))
    path = download(corrected, "Corrected video", tmp_path)
    assert path.name == "late_synced.mp4" and abs(offset_ms(engine, path)) < 40
    report = download(corrected, "Report", tmp_path).read_text(encoding="utf-8")
    assert "late.mp4" in report and "lipsync-page-" not in report
    assert download(corrected, "Annotated copy", tmp_path).stat().st_size > 1000
    edit = download(corrected, "For Final Cut and Resolve", tmp_path)
    (media,) = ElementTree.parse(edit).getroot().iter("media-rep")
    assert edit.name == "late.fcpxml" and media.get("src") == "late.mp4"  # it lies beside it
    edit = download(corrected, "For Premiere and Avid", tmp_path)
    text = edit.read_text(encoding="utf-8")
    assert edit.name == "late.edl" and "late.mp4" in text and "lipsync-page-" not in text


def test_nothing_is_loaded_from_elsewhere(corrected):
    corrected.wait_for_selector(".js-plotly-plot")
    hosts = {urlsplit(url).hostname for url in corrected.asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"} and len(corrected.asked) > 20
    assert corrected.errors == []


def test_both_videos_play_in_step(corrected):
    videos = "[...document.querySelectorAll('#ls-players video')]"
    corrected.wait_for_function(f"{videos}.length === 2 && {videos}.every(v => v.readyState > 0)")
    corrected.evaluate(f"{videos}[0].play()")
    corrected.wait_for_function(f"{videos}.every(v => v.currentTime > 0.3)")
    corrected.evaluate(f"{videos}[0].pause()")
    corrected.wait_for_function(f"{videos}.every(v => v.paused)")
    corrected.evaluate(f"{videos}[1].currentTime = 2")
    corrected.wait_for_function(f"Math.abs({videos}[0].currentTime - 2) < 0.2")
    corrected.click("[data-hear='0']")
    assert corrected.evaluate(f"{videos}.map(v => v.muted)") == [False, True]


def test_an_offset_is_heard_by_hand(corrected, engine, late_clip, tmp_path):
    corrected.click("#ls-by-hand button")
    corrected.fill("#ls-delay input[type=number]", "-200")
    corrected.press("#ls-delay input[type=number]", "Tab")
    corrected.click("#ls-listen")
    corrected.wait_for_selector("#ls-moved video")
    assert "-200" in corrected.inner_text("#ls-moved figcaption")
    address = urljoin(corrected.url, corrected.get_attribute("#ls-moved video", "src"))
    response = corrected.request.get(address)
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(response.body())
    # It lagged; delayed by −200 ms, it lags by 200 ms less, or leads.
    expected = offset_ms(engine, late_clip) + 200
    assert abs(offset_ms(engine, moved) - expected) < 40


def test_every_control_has_a_name(corrected):
    nameless = corrected.evaluate(
        """[...document.querySelectorAll("button, input, video, progress, a")].filter(e =>
            e.offsetParent !== null && e.type !== "file" &&
            !(e.innerText || e.ariaLabel || e.title || e.labels?.length ||
              e.getAttribute("aria-labelledby") || e.querySelector("img[alt]"))
        ).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_the_files_of_another_visitor_are_not_seen(corrected, visit):
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


def test_results_survive_a_reload(corrected):
    said = verdict(corrected)
    corrected.reload()
    corrected.wait_for_selector(".ls-verdict")
    assert verdict(corrected) == said
    assert corrected.locator(".ls-downloads a").count() == 3


def test_in_chinese_on_a_phone_with_a_reload_in_the_middle(visit, late_clip, tmp_path):
    """Of a video that no browser plays."""
    path = tmp_path / "old.avi"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", late_clip, "-c:v", "mpeg4",
         "-q:v", "2", "-c:a", "pcm_s16le", path],
        check=True,
    )  # fmt: skip
    words = WORDS["zh-CN"]
    page = visit("zh-CN", 390)
    assert page.inner_text("#ls-check") == words["check"]
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    check(page, path)
    page.wait_for_selector(".ls-progress")
    page.reload()
    page.wait_for_selector(".ls-verdict")
    assert re.search(words["late"], verdict(page))
    page.wait_for_function("document.querySelector('#ls-players video').videoWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("language", WORDS)
def test_every_tab_fits_a_phone(visit, language):
    page = visit(language, 390)
    for tab in ("new-speech", "batch", "training"):
        open_tab(page, tab, 390)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


def test_cancel_ends_the_work(visit, long_clip):
    page = visit()
    check(page, long_clip)
    page.wait_for_selector(".ls-progress progress[value]")
    page.click("#ls-cancel")
    began = time.monotonic()
    page.wait_for_selector(f"#ls-error :text('{WORDS['en']['cancelled']}')")
    assert time.monotonic() - began < 30  # 2 s, on a machine that is not busy
    assert not page.is_visible(".ls-verdict")
    assert page.is_enabled("#ls-check")


def test_two_visitors_at_once_have_their_own_results(visit, late_clip, tmp_path):
    """The one with audio of its own."""
    write_wav(tmp_path / "speech.wav", clip_parts(1, 4.0, 200)[2], 24_000)
    pages = [visit(), visit("zh-CN")]
    choose(pages[1], tmp_path / "speech.wav", "audio")
    for page in pages:
        check(page, late_clip)
    for page in pages:
        page.wait_for_selector(".ls-verdict")
    assert re.search(WORDS["en"]["late"], verdict(pages[0]))
    assert re.search(r"音频超前 \d+ 毫秒。", verdict(pages[1]))


def bad_files(folder):
    """(name, what is said) of files that cannot be used."""
    make_clip(folder / "good.mp4", 1, 2.0)
    content = (folder / "good.mp4").read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video at all\n" * 50)
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    _, frames, samples, _ = clip_parts(1, 2.0)
    frames = list(frames)
    write_clip(folder / "<img src=x onerror=document.title=1>.mp4", frames, FPS, None)
    grey = [np.full_like(frame, 128) for frame in frames]
    write_clip(folder / "noface.mp4", grey, FPS, samples, 24_000)
    return {
        "empty.mp4": "empty", "text.mp4": "cannot read", "cut.mp4": "cannot read",
        "<img src=x onerror=document.title=1>.mp4": "no audio", "noface.mp4": "face",
    }  # fmt: skip


def test_bad_files_end_in_one_sentence(visit, tmp_path):
    page = visit()
    title = page.title()
    for name, said in bad_files(tmp_path).items():
        choose(page, tmp_path / name)
        page.click("#ls-check")
        page.wait_for_selector("#ls-cancel", state="visible")
        page.wait_for_selector("#ls-cancel", state="hidden")
        text = page.inner_text("#ls-error")
        assert said in text, (name, text)
        assert "Traceback" not in text and "/" not in text
        assert not page.is_visible(".ls-verdict")
        page.click("#ls-video button[aria-label='Clear']")
        page.wait_for_selector("#ls-video .file-preview", state="detached")
    assert page.title() == title  # a name is no markup


def test_many_videos_fill_a_table(visit, late_clip, tmp_path):
    (tmp_path / "broken.mp4").write_text("not a video")
    shutil.copy(late_clip, tmp_path / "talk.mp4")
    page = visit()
    page.click("#ls-batch-button")
    files = [tmp_path / "broken.mp4", tmp_path / "talk.mp4"]
    page.set_input_files("#ls-batch-videos input[type=file]", files)
    page.wait_for_selector("#ls-batch-videos .file-preview")
    page.click("#ls-batch-start")
    page.wait_for_selector("#ls-batch-table tr:nth-child(2) a")
    page.wait_for_selector("#ls-batch-cancel", state="hidden")
    rows = "#ls-batch-table tbody tr"
    assert "cannot read" in page.inner_text(f"{rows}:nth-child(1)")
    assert "corrected" in page.inner_text(f"{rows}:nth-child(2)")
    for first in ("broken.mp4", "talk.mp4"):
        page.click("#ls-batch-table th:first-child button")
        assert page.inner_text(f"{rows}:nth-child(1) td:first-child") == first
    with page.expect_download() as waiting:
        page.click("#ls-batch-downloads a")
    waiting.value.save_as(tmp_path / "summary.csv")
    lines = (tmp_path / "summary.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 3 and {line.split(",")[0] for line in lines[1:]} == {
        "broken.mp4", "talk.mp4",
    }  # fmt: skip
    page.reload()
    page.click("#ls-batch-button")
    page.wait_for_selector(f"{rows}:nth-child(2) a")


@pytest.mark.skipif(not FOOTAGE.is_file(), reason=f"no real footage: {FOOTAGE} is missing")
def test_a_person_says_what_was_typed(visit, late_clip, tmp_path):
    """Not before it is confirmed that they agreed, and not of footage that cannot be used."""
    page = visit()
    page.click("#ls-new-speech-button")
    page.set_input_files("#ls-footage input[type=file]", late_clip)
    page.wait_for_selector("#ls-footage .file-preview")
    page.click("#ls-learn")
    page.wait_for_selector("#ls-speech-error :text('agreed')")
    page.check("#ls-consent input")
    page.click("#ls-learn")
    page.wait_for_selector("#ls-speech-error p:not(:text('agreed'))")
    assert "at least 10 s are required" in page.inner_text("#ls-speech-error")
    page.reload()
    page.click("#ls-new-speech-button")
    page.set_input_files("#ls-footage input[type=file]", FOOTAGE)
    page.wait_for_selector("#ls-footage .file-preview")
    page.check("#ls-consent input")
    page.click("#ls-learn")
    page.wait_for_selector(f"#ls-learnt :text('{FOOTAGE.name}')")
    page.fill("#ls-speech-text textarea", "Good morning to all of you.")
    page.click("#ls-make")
    page.wait_for_selector(".ls-progress progress[value]")
    page.click("#ls-speech-cancel")
    page.wait_for_selector(f"#ls-speech-error :text('{WORDS['en']['cancelled']}')")
    page.click("#ls-make")
    page.wait_for_function("document.querySelectorAll('#ls-speech-players video').length === 2")
    page.wait_for_function(
        "[...document.querySelectorAll('#ls-speech-players video')].every(v => v.readyState >= 2)"
    )
    assert "in sync" in page.inner_text("#ls-speech-message")
    with page.expect_download() as waiting:
        page.click("#ls-speech-downloads a:text-is('New video')")
    waiting.value.save_as(tmp_path / "new.mp4")
    assert read_remade(tmp_path / "new.mp4") is not None  # it says so of itself
    picture(page, "new-speech")


def test_a_model_is_trained_with_ones_own_clips(visit, tmp_path):
    """It is stopped, and goes on."""
    make_corpus(tmp_path, 4, 3.0, n_speakers=1)
    (tmp_path / "videos" / "broken.mp4").write_text("not a video")
    files = sorted((tmp_path / "videos").iterdir())
    page = visit()
    page.click("#ls-training-button")
    page.set_input_files("#ls-clips input[type=file]", files)
    page.wait_for_selector("#ls-clips .file-preview")
    page.click("#ls-prepare")
    page.wait_for_function("document.querySelector('#ls-found img')?.naturalWidth > 300")
    assert "4 of 5 clips" in page.inner_text("#ls-found")
    assert "broken.mp4" in page.inner_text("#ls-found td")
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
    with page.expect_download() as waiting:
        page.click("#ls-training-downloads a")
    waiting.value.save_as(tmp_path / "mine.pth")
    assert load_trained(tmp_path / "mine.pth", "cpu").calibration
    picture(page, "training")
    page.goto(urljoin(page.url, "/en/"))
    page.click("#ls-training-button")
    page.click("#ls-clear")
    page.wait_for_selector("#ls-clear:has-text('again')")
    assert page.is_visible("#ls-found img")
    page.click("#ls-clear")
    page.wait_for_selector("#ls-found img", state="detached")
    assert not page.is_visible("#ls-train")


def test_what_is_not_ones_own_is_not_answered(visit, server):
    page = visit()
    for path in ("etc/passwd", str(ROOT / "config.yaml"), "../../config.yaml"):
        assert page.request.get(f"{server}/en/gradio_api/file={path}").status == 404
    for path in ("proxy=http://127.0.0.1:1/", "vibe-code/", "openapi.json", "deep_link"):
        assert page.request.get(f"{server}/en/gradio_api/{path}").status == 404
    other = {"Origin": "http://example.org"}
    assert page.request.post(f"{server}/en/gradio_api/queue/join", headers=other).status == 403
    assert page.request.get(server, headers={"Host": "example.org"}).status == 403


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
    page.wait_for_function("document.querySelectorAll('#ls-players video').length === 2")
    page.wait_for_function(
        "[...document.querySelectorAll('#ls-players video')].every(v => v.readyState >= 2)"
    )
    page.wait_for_selector(".js-plotly-plot")
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    open_tab(page, "batch", width)
    page.screenshot(path=folder / f"{name}_batch.png", full_page=True)
