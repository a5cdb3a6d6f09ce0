"""Letters in pictures."""

import numpy as np
import pytest

from src.plotting import fonts
from src.plotting.fonts import text_picture, text_width, wrapped

pytest_plugins = ("tests.support.training_fixtures",)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@pytest.mark.parametrize(
    "text",
    ["audio lags by 196 ms: not acceptable (ITU-R BT.1359)",
     "音频滞后 196 毫秒：不可接受（ITU-R BT.1359），请亲眼核对", "word", "a  b"],
)  # fmt: skip
@pytest.mark.parametrize("width", [60, 150, 2000])
def test_lines_fit_and_lose_nothing(text, width):
    lines = wrapped(text, 12, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        one_word = " " not in line and all(ord(letter) < 0x2E80 for letter in line)
        assert text_width(line, 12) <= width or one_word


def test_a_word_without_room_in_a_line_is_broken():
    lines = wrapped("raise inference.max_offset_frames now", 12, 100)
    assert lines[0] == "raise" and lines[-1].endswith("now")
    assert "".join(lines).replace(" ", "") == "raiseinference.max_offset_framesnow"
    assert all(text_width(line, 12) <= 100 for line in lines)
    assert wrapped("WW", 12, 1) == ["W", "W"]


def test_words_of_other_letters_are_not_broken():
    assert wrapped("not acceptable here", 12, text_width("not acceptable", 12)) == [
        "not acceptable", "here",
    ]  # fmt: skip


def test_text_is_drawn_in_its_colour():
    picture = text_picture("offset −196 ms", 14, WHITE, BLACK)
    assert picture.shape[1] == text_width("offset −196 ms", 14) and picture.max() == 255
    assert (picture[0] == 0).all() and (picture[-1] == 0).all(), "nothing is cut off"
    one, other = (text_picture(text, 14, WHITE, BLACK).sum() for text in ("I", "W"))
    assert one < other


def test_chinese_is_drawn_where_there_is_a_font_and_english_where_not(speaks, monkeypatch):
    speaks("zh")
    if fonts.drawable():
        signs = [text_picture(sign, 20, WHITE, BLACK) for sign in "声音"]
        assert not np.array_equal(*signs), "two signs, not two empty boxes"
        assert fonts.sayer()("sound") == "声音"
    monkeypatch.setattr(fonts, "_chinese_fonts", lambda: [])
    assert not fonts.drawable() and fonts.sayer()("face {number}", number=2) == "face 2"


def test_that_pictures_turn_english_is_said_once(speaks, monkeypatch, capsys):
    monkeypatch.setattr(fonts, "_chinese_fonts", lambda: [])
    fonts._say_why_english.cache_clear()
    speaks("en")
    fonts.sayer()
    assert capsys.readouterr().err == ""
    speaks("zh")
    for _ in range(2):
        assert fonts.sayer()("sound") == "sound" and not fonts.drawable()
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert "没有中文字体" in said.err and "Noto Sans CJK SC" in said.err
