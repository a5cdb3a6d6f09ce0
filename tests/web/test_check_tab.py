"""The tab "Check and correct" in a real browser."""

import re
import subprocess
import time
from urllib.parse import urljoin
from xml.etree import ElementTree

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from src.core.constants import FPS
from src.media.writer import write_clip
from tests.support.limits import wait_for
from tests.support.page_browser import (
    WORDS,
    check,
    choose,
    download,
    in_browser,
    verdict,
    wait_for_videos,
)
from tests.support.process_groups import PROC, groups_of, is_any_running
from tools.synthetic_talker import clip_parts, make_clip

pytestmark = in_browser
CANCELLED_S = 30  # 2 s, on a machine that is not busy


@pytest.fixture(scope="package")
def long_clip(late_clip, tmp_path_factory):
    """A clip that takes long to check: 80 s."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "19", "-i", late_clip,
         "-c", "copy", path],
        check=True,
    )  # fmt: skip
    return path


def offset_ms(engine, path):
    return engine.compute_sync_score(path)[1]["offset_ms"]


def test_the_verdict_is_a_sentence_and_the_corrected_copy_is_in_sync(corrected, engine, tmp_path):
    def save(text):
        return download(corrected, f".ls-downloads a:text-is('{text}')", tmp_path)

    assert re.search(WORDS["en"]["late"], verdict(corrected))
    path = save("Corrected video")
    assert path.name == "late_synced.mp4" and abs(offset_ms(engine, path)) < 40
    report = save("Report").read_text(encoding="utf-8")
    assert "late.mp4" in report and "lipsync-page-" not in report
    assert save("Annotated copy").stat().st_size > 1000
    edit = save("For Final Cut and Resolve")
    (media,) = ElementTree.parse(edit).getroot().iter("media-rep")
    assert edit.name == "late.fcpxml" and media.get("src") == "late.mp4"  # it lies beside it
    edit = save("For Premiere and Avid")
    text = edit.read_text(encoding="utf-8")
    assert edit.name == "late.edl" and "late.mp4" in text and "lipsync-page-" not in text


def test_a_frame_is_shown_before_anything_is_played(corrected):
    wait_for_videos(corrected, "players", 2)
    for video in corrected.locator("#ls-players video").all():
        png = np.frombuffer(video.screenshot(), np.uint8)
        pixels = cv2.imdecode(png, cv2.IMREAD_COLOR)
        height, width = pixels.shape[:2]
        middle = pixels[height // 4 : height // 2, width // 3 : 2 * width // 3]
        assert middle.std() > 10 and middle.mean() > 50  # a face


def test_both_videos_play_in_step(corrected):
    videos = "[...document.querySelectorAll('#ls-players video')]"
    corrected.wait_for_function(f"{videos}.length === 2 && {videos}.every(v => v.readyState > 0)")
    corrected.evaluate(f"{videos}[0].play()")
    corrected.wait_for_function(f"{videos}.every(v => v.currentTime > 0.3)")
    corrected.evaluate(f"{videos}[0].pause()")
    corrected.wait_for_function(f"{videos}.every(v => v.paused)")
    corrected.evaluate(f"{videos}[1].currentTime = 2")
    corrected.wait_for_function(f"Math.abs({videos}[0].currentTime - 2) < 0.2")
    assert corrected.evaluate(f"{videos}.map(v => v.muted)") == [True, False]
    corrected.click("[data-hear='0']")
    assert corrected.evaluate(f"{videos}.map(v => v.muted)") == [False, True]


def test_an_offset_is_heard_by_hand(corrected, engine, late_clip, tmp_path):
    corrected.click("#ls-by-hand button")
    corrected.wait_for_selector("#ls-delay input[type=number]")  # appears after the click
    delay = "document.querySelector('#ls-delay input[type={}]').value"
    corrected.wait_for_function(f"{delay.format('number')} < 0")  # what was measured
    corrected.fill("#ls-delay input[type=number]", "-200")
    corrected.press("#ls-delay input[type=number]", "Tab")
    corrected.wait_for_function(f"{delay.format('range')} === '-200'")
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


def test_results_survive_a_reload(corrected):
    said, links = verdict(corrected), corrected.locator(".ls-downloads a").all_inner_texts()
    assert "Corrected video" in links
    corrected.reload()
    corrected.wait_for_selector(".ls-verdict")
    assert verdict(corrected) == said
    assert corrected.locator(".ls-downloads a").all_inner_texts() == links


@pytest.mark.skipif(not PROC.is_dir(), reason=f"there is no {PROC}, which lists the processes")
def test_cancel_ends_the_work_with_all_its_processes(visit, long_clip, page_server):
    """Timed from the click."""
    page = visit()
    check(page, long_clip)
    page.wait_for_selector(".ls-progress progress[value]")
    groups = groups_of(page_server[1].pid, long_clip.name)
    assert len(groups) == 1
    began = time.monotonic()
    page.click("#ls-cancel")
    wait_for(lambda: not is_any_running(groups))
    ended_s = time.monotonic() - began
    page.wait_for_selector(f"#ls-error :text('{WORDS['en']['cancelled']}')")
    print(f"ended {ended_s:.2f} s after the click, said {time.monotonic() - began:.2f} s after it")
    assert time.monotonic() - began < CANCELLED_S
    assert not page.is_visible(".ls-verdict")
    assert page.is_enabled("#ls-check")


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


def test_one_of_two_faces_is_chosen(visit, tmp_path):
    """The other one does not say what is heard."""
    _, speaker, samples, _ = clip_parts(1, 4.0, -240)
    _, other, _, _ = clip_parts(2, 4.0)
    frames = [np.hstack(pair) for pair in zip(speaker, other, strict=True)]
    write_clip(tmp_path / "two.mp4", frames, FPS, samples, 24_000)
    page = visit()
    check(page, tmp_path / "two.mp4")
    page.wait_for_selector(".ls-face.ls-used")
    assert re.search(WORDS["en"]["late"], verdict(page))
    loaded = "[...document.querySelectorAll('.ls-face img')].filter(i => i.naturalWidth > 20)"
    assert page.evaluate(f"{loaded}.length") == 2
    number = page.get_attribute(".ls-face:not(.ls-used)", "data-face")
    page.click(f".ls-face[data-face='{number}']")
    page.wait_for_selector(f".ls-face.ls-used[data-face='{number}']")
    assert not re.search(WORDS["en"]["late"], verdict(page))
    assert page.is_checked(f"#ls-face input[value='{number}']")
