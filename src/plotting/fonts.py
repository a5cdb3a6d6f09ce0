"""Fonts and text of plots and annotated videos, in the user's language where a font has it."""

import logging
from contextlib import suppress
from functools import cache, lru_cache

import numpy as np

from ..i18n.messages import language, tr

logger = logging.getLogger(__name__)

CJK_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS",
)  # fmt: skip
FIRST_CJK_CHARACTER = "\u2e80"
NO_LINE_START = " ，。；：、）”’！？》"  # these stay on the line of what they follow
Colour = tuple[int, int, int]  # BGR


@cache
def _installed_cjk_fonts() -> list[str]:
    from matplotlib import font_manager

    # It logs every font that lacks one of the usual weights.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    manager = font_manager.fontManager
    if not _cjk_names(manager.ttflist):  # a list cached at its first start: fonts may be new
        known = {font.fname for font in manager.ttflist}
        for path in set(font_manager.findSystemFonts()) - known:
            with suppress(OSError, RuntimeError):  # not a font that it can read
                manager.addfont(path)
    return _cjk_names(manager.ttflist)


def _cjk_names(fonts: list) -> list[str]:
    names = {font.name for font in fonts}
    return [name for name in CJK_FONTS if name in names]


def _is_cjk(language: str) -> bool:
    """Whether a language needs one of these fonts: they have Japanese and Korean too."""
    return language.split("_")[0] in ("zh", "ja", "ko")


def can_draw_language() -> bool:
    """Whether a font has the characters of the user's language; if not, a warning, once."""
    if not _is_cjk(language()) or _installed_cjk_fonts():
        return True
    _warn_of_english()
    return False


@cache
def _warn_of_english() -> None:
    logger.warning(
        tr("note: {text}",
           text=tr("no font with Chinese characters is installed: plots and annotations are in "
                   "English; install one of these: {fonts} (Debian, Ubuntu: apt install "
                   "fonts-noto-cjk)", fonts=", ".join(CJK_FONTS)))
    )  # fmt: skip


def plot_tr(text: str, /, **values) -> str:
    """As ``tr``, for text that is drawn: plain English where no font has the language."""
    if can_draw_language():
        return tr(text, **values)
    return text.format(**values) if values else text


def set_figure_fonts() -> None:
    """Set matplotlib to fonts that have the language's characters."""
    import matplotlib

    if _is_cjk(language()) and _installed_cjk_fonts():
        matplotlib.rcParams["font.family"] = [*_installed_cjk_fonts(), "DejaVu Sans"]
        matplotlib.rcParams["axes.unicode_minus"] = False


# --- text as pixels


@cache
def _font(size: int, cjk: bool):
    from matplotlib import font_manager
    from PIL import ImageFont

    name = _installed_cjk_fonts()[0] if cjk and _installed_cjk_fonts() else "DejaVu Sans"
    return ImageFont.truetype(font_manager.findfont(name), size)


def _needs_cjk_font(text: str) -> bool:
    return _is_cjk(language()) or any(character > FIRST_CJK_CHARACTER for character in text)


def text_width(text: str, size: int) -> int:
    """Width of a line of text in pixels."""
    return int(np.ceil(_font(size, _needs_cjk_font(text)).getlength(text)))


def render_text(text: str, size: int, colour: Colour, background: Colour) -> np.ndarray:
    """A line of text, uint8 BGR [about 1.4 size, width, 3].

    Args:
        size: font size in pixels.
    """
    from PIL import Image, ImageDraw

    font = _font(size, _needs_cjk_font(text))
    shape = (max(1, text_width(text, size)), round(1.4 * size))
    image = Image.new("RGB", shape, background[::-1])
    draw = ImageDraw.Draw(image)
    draw.text((0, round(1.1 * size)), text, fill=colour[::-1], font=font, anchor="ls")
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


# For text that stays for more than a frame. Few are cached: each is a small block of memory among
# the large ones of frames, and keeps one of these from being freed (512 entries cost 4 MB each).
render_text_cached = lru_cache(maxsize=32)(render_text)


def wrap_text(text: str, size: int, width: int) -> list[str]:
    """A text in lines of at most ``width`` pixels.

    Lines are broken at spaces, between Chinese characters, and within a word that is too wide for
    a line of its own.
    """
    lines, line = [], ""
    for word in _breakable_parts(text):
        if line and text_width((line + word).rstrip(), size) > width:
            lines.append(line.rstrip())
            line = ""
        line += word
        while text_width(line.rstrip(), size) > width and len(line) > 1:
            n_fitting = next(n for n in range(len(line) - 1, 0, -1)
                             if n == 1 or text_width(line[:n], size) <= width)  # fmt: skip
            lines.append(line[:n_fitting])
            line = line[n_fitting:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _breakable_parts(text: str) -> list[str]:
    """The words of a text, each with the space after it, and its Chinese characters one by one,
    each with the closing punctuation after it."""
    parts: list[str] = []
    for character in text:
        is_cjk = character > FIRST_CJK_CHARACTER
        after_break = bool(parts) and (parts[-1][-1] == " " or parts[-1][-1] > FIRST_CJK_CHARACTER)
        if parts and (character in NO_LINE_START or not (is_cjk or after_break)):
            parts[-1] += character
        else:
            parts.append(character)
    return parts
