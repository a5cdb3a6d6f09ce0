"""The tab "Live" in Chromium, whose camera and microphone play a clip."""

import os
import re
import signal
import time
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest

from src.web.live_buffer import MAX_AUDIO_S
from tests.support.limits import HANG_S
from tests.support.page_browser import (
    in_browser,
    open_tab,
    picture,
    wait_until_all_fits,
)
from tests.support.process_groups import PROC, groups_of

pytestmark = in_browser
SAMPLE_BYTES = 4
REFUSALS = {
    "NotAllowedError": "请在地址栏中允许",
    "NotReadableError": "正被其他程序使用",
    "NotFoundError": "没有找到摄像头",
}


def part(page, name):
    return page.inner_text(f".ls-live [data-part={name}]")


def start(page):
    """Start, and wait for a score."""
    page.click(".ls-live [data-live=start]")
    page.wait_for_selector(".ls-live [data-part=results]")  # without those of an earlier time
    page.wait_for_function(
        "/^\\d[.]\\d+$/.test(document.querySelector('.ls-live [data-part=score]').textContent)"
    )


@pytest.fixture(scope="module")
def live_page(new_visitor):
    """A page with the tab, and the WebSockets it has opened: each start takes long."""
    page = new_visitor()
    page.sockets = []
    page.on("websocket", lambda socket: page.sockets.append(socket))
    open_tab(page, "live")
    yield page
    page.context.close()


@pytest.fixture
def running(live_page):
    """That page, measuring."""
    if not live_page.is_visible(".ls-live [data-live=stop]"):
        start(live_page)
    return live_page


def test_camera_and_microphone_are_measured(running):
    page = running
    assert 0 <= float(part(page, "score")) <= 1
    assert float(part(page, "latency").removesuffix(" s")) >= 0
    assert part(page, "dropped").isdecimal() and part(page, "text").endswith(".")
    # Chromium starts the two at moments of its own: how far apart is not known.
    assert re.fullmatch(r"–|[+-]\d+ ms", part(page, "offset"))
    assert page.evaluate("document.querySelector('.ls-live video').videoWidth") > 0
    wait_until_all_fits(page)
    assert page.errors == []


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be held up here")
@pytest.mark.skipif(not PROC.is_dir(), reason=f"there is no {PROC}, which lists the processes")
def test_what_lies_too_far_behind_is_left_out_and_the_page_says_so(running, page_server):
    """And also that a measurement has crashed; it can be started again."""
    page, n_sent = running, Counter()
    socket = page.sockets[-1]
    socket.on("framesent", lambda content: n_sent.update({content[:1]: len(content)}))
    (rate,) = parse_qs(urlsplit(socket.url).query)["rate"]
    (group,) = groups_of(page_server[1].pid, "../uploads")
    os.killpg(group, signal.SIGSTOP)  # slower than any computer
    until = time.monotonic() + HANG_S / 6
    while n_sent[b"A"] < 1.2 * MAX_AUDIO_S * int(rate) * SAMPLE_BYTES:
        page.wait_for_timeout(100)
        assert time.monotonic() < until, f"the browser sends no more audio: {n_sent}"
    os.killpg(group, signal.SIGCONT)
    page.wait_for_selector(".ls-live [data-part=status]:text('the measurement began anew')")
    os.killpg(group, signal.SIGKILL)
    page.wait_for_selector(".ls-live [data-part=error]:text('crashed')")
    start(page)
    assert part(page, "error") == ""
    assert page.errors == []


def test_at_the_end_there_is_the_result_of_the_whole_time(running):
    """And nothing that is only worth knowing while it is measured."""
    page = running
    assert page.is_visible(".ls-live [data-part=latency]")
    page.click(".ls-live [data-live=stop]")
    page.wait_for_selector(".ls-live [data-part=status]:text('Stopped.')")
    assert re.fullmatch(r"–|\d[.]\d+", part(page, "score"))
    assert part(page, "text").endswith(".") and "keep speaking" not in part(page, "text")
    assert not page.is_visible(".ls-live [data-part=latency]")
    assert page.is_visible(".ls-live [data-live=start]")
    wait_until_all_fits(page)
    assert page.errors == []
    picture(page, "live")


def test_what_is_missing_is_said_in_one_sentence(visit):
    """In Chinese."""
    page = visit("zh-CN", script="navigator.mediaDevices.enumerateDevices = async () => [];")
    open_tab(page, "live")
    for name, said in REFUSALS.items():
        page.evaluate(
            "name => { navigator.mediaDevices.getUserMedia = "
            "async () => { throw new DOMException('', name); }; }",
            name,
        )
        page.click(".ls-live [data-live=start]")
        page.wait_for_selector(f".ls-live [data-part=error]:text('{said}')")
        assert page.is_visible(".ls-live [data-live=start]")
    page.evaluate("() => { Object.defineProperty(navigator, 'mediaDevices', {value: null}); }")
    page.click(".ls-live [data-live=start]")
    page.wait_for_selector(".ls-live [data-part=error]:text('HTTPS')")
    assert page.errors == []
