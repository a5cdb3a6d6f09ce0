"""Fonts and text of plots."""

import logging

import numpy as np
import pytest

from src.plotting import fonts
from src.plotting.fonts import render_text_cached, text_width, wrap_text

pytest_plugins = ("tests.support.training_fixtures",)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@pytest.mark.parametrize(
    "text",
    ["audio lags by 196 ms: not acceptable (ITU-R BT.1359)",
     "音频滞后 196 毫秒：不可接受（ITU-R BT.1359），请亲眼核对", "word", "a  b"],
)  # fmt: skip
@pytest.mark.parametrize("width", [60, 150, 2000])
def test_lines_fit_and_no_text_is_lost(text, width):
    lines = wrap_text(text, 12, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        is_single_word = " " not in line and all(ord(character) < 0x2E80 for character in line)
        assert text_width(line, 12) <= width or is_single_word


def test_a_word_too_wide_for_a_line_is_broken():
    lines = wrap_text("raise inference.max_offset_frames now", 12, 100)
    assert lines[0] == "raise" and lines[-1].endswith("now")
    assert "".join(lines).replace(" ", "") == "raiseinference.max_offset_framesnow"
    assert all(text_width(line, 12) <= 100 for line in lines)
    assert wrap_text("WW", 12, 1) == ["W", "W"]


def test_english_words_are_not_broken():
    assert wrap_text("not acceptable here", 12, text_width("not acceptable", 12)) == [
        "not acceptable", "here",
    ]  # fmt: skip


def test_no_line_starts_with_closing_punctuation():
    text = "音频滞后 179 毫秒：可察觉，但可接受（ITU-R BT.1359）"
    for width in range(60, 400, 7):
        lines = wrap_text(text, 12, width)
        assert not [line for line in lines if line[0] in "，：）"], (width, lines)


def test_text_is_drawn_in_its_colour():
    pixels = render_text_cached("offset −196 ms", 14, WHITE, BLACK)
    assert pixels.shape[1] == text_width("offset −196 ms", 14) and pixels.max() == 255
    assert (pixels[0] == 0).all() and (pixels[-1] == 0).all(), "nothing is cropped"
    narrow, wide = (render_text_cached(text, 14, WHITE, BLACK).sum() for text in ("I", "W"))
    assert narrow < wide


def test_chinese_is_drawn_where_there_is_a_font_and_english_where_not(speaks, monkeypatch):
    speaks("zh")
    if fonts.can_draw_language():
        characters = [render_text_cached(text, 20, WHITE, BLACK) for text in "音频"]
        assert not np.array_equal(*characters), "two characters, not two empty boxes"
        assert fonts.plot_tr("audio") == "音频"
    monkeypatch.setattr(fonts, "_installed_cjk_fonts", lambda: [])
    assert not fonts.can_draw_language() and fonts.plot_tr("face {number}", number=2) == "face 2"


def test_without_a_chinese_font_there_is_one_warning(speaks, monkeypatch, caplog):
    monkeypatch.setattr(fonts, "_installed_cjk_fonts", lambda: [])
    fonts._warn_of_english.cache_clear()
    speaks("en")
    fonts.plot_tr("audio")
    assert caplog.records == []
    speaks("zh")
    for _ in range(2):
        assert fonts.plot_tr("audio") == "audio" and not fonts.can_draw_language()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and len(record.getMessage().splitlines()) == 1
    assert "没有中文字体" in record.getMessage() and "Noto Sans CJK SC" in record.getMessage()
