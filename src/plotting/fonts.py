"""Which letters pictures are written in: Chinese where a font of this machine has it."""

import logging
import sys
from contextlib import suppress
from functools import cache, lru_cache

import numpy as np

from ..i18n.messages import language, tr

CHINESE_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS",
)  # fmt: skip
Colour = tuple[int, int, int]


@cache
def _chinese_fonts() -> list[str]:
    from matplotlib import font_manager

    # It remarks on every font that lacks one of the usual weights.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    manager = font_manager.fontManager
    if not _among(manager.ttflist):  # it remembers those of its first start: some may be new
        known = {font.fname for font in manager.ttflist}
        for path in set(font_manager.findSystemFonts()) - known:
            with suppress(OSError, RuntimeError):  # no font that it can read
                manager.addfont(path)
    return _among(manager.ttflist)


def _among(fonts: list) -> list[str]:
    there = {font.name for font in fonts}
    return [name for name in CHINESE_FONTS if name in there]


def drawable() -> bool:
    """Whether pictures can show the language of the messages; where not, it is said once."""
    if language() != "zh" or _chinese_fonts():
        return True
    _say_why_english()
    return False


@cache
def _say_why_english() -> None:
    print(
        tr("note: {text}",
           text=tr("no font of this machine has Chinese letters: pictures are in short English "
                   "words; install one of these: {fonts} (Debian, Ubuntu: apt install "
                   "fonts-noto-cjk)", fonts=", ".join(CHINESE_FONTS))),
        file=sys.stderr,
    )  # fmt: skip


def sayer():
    """``tr`` where the pictures can show the language, else plain English."""
    if drawable():
        return tr
    return lambda text, /, **values: text.format(**values) if values else text


def use_in_figures() -> None:
    """Have matplotlib draw in letters that the language has."""
    import matplotlib

    if language() == "zh" and _chinese_fonts():
        matplotlib.rcParams["font.family"] = [*_chinese_fonts(), "DejaVu Sans"]
        matplotlib.rcParams["axes.unicode_minus"] = False


@cache
def _font(size: int, chinese: bool):
    from matplotlib import font_manager
    from PIL import ImageFont

    name = _chinese_fonts()[0] if chinese and _chinese_fonts() else "DejaVu Sans"
    return ImageFont.truetype(font_manager.findfont(name), size)


def _chinese(text: str) -> bool:
    return language() == "zh" or any(ord(letter) > 0x2E80 for letter in text)


def text_width(text: str, size: int) -> int:
    """Pixels."""
    return int(np.ceil(_font(size, _chinese(text)).getlength(text)))


def text_drawn(text: str, size: int, colour: Colour, ground: Colour) -> np.ndarray:
    """A line of text, uint8 BGR [about 1.4 size, width, 3].

    Args:
        size: of the letters, in pixels.
        colour, ground: BGR.
    """
    from PIL import Image, ImageDraw

    font = _font(size, _chinese(text))
    picture = Image.new("RGB", (max(1, text_width(text, size)), round(1.4 * size)), ground[::-1])
    draw = ImageDraw.Draw(picture)
    draw.text((0, round(1.1 * size)), text, fill=colour[::-1], font=font, anchor="ls")
    return np.ascontiguousarray(np.asarray(picture)[..., ::-1])


# Few are kept: each is a small block of memory among the large ones of the pictures that are drawn
# meanwhile, and holds one of these open (with 512 it came to 4 MB each).
text_picture = lru_cache(maxsize=32)(text_drawn)  # what stays for more than a picture


def wrapped(text: str, size: int, width: int) -> list[str]:
    """A text in lines of at most ``width`` pixels; broken at spaces, or between Chinese signs, and
    within a word that has no room in a line of its own."""
    lines, line = [], ""
    pieces = []
    for letter in text:
        chinese = ord(letter) > 0x2E80
        new_word = bool(pieces) and (pieces[-1][-1] == " " or ord(pieces[-1][-1]) > 0x2E80)
        if pieces and (letter == " " or not (chinese or new_word)):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    for piece in pieces:
        if line and text_width((line + piece).rstrip(), size) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
        while text_width(line.rstrip(), size) > width and len(line) > 1:
            fits = next(n for n in range(len(line) - 1, 0, -1)
                        if n == 1 or text_width(line[:n], size) <= width)  # fmt: skip
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line.rstrip()] if line.strip() else lines
