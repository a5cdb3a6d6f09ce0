"""Messages in the user's language.

``tr("Epoch {epoch}/{total}", epoch=1, total=9)`` looks the English text up in the catalogue of
the user's language (``messages_zh.py``) and fills it in. ``LIPSYNC_LANG=zh|en`` chooses the
language; without it the locale does, and English is used where the locale names neither.
"""

import locale
import os
import sys
from functools import cache

from .messages_zh import CATALOGUE as ZH

CATALOGUES = {"en": {}, "zh": ZH}


@cache
def language() -> str:
    """The language of the messages: ``"zh"`` or ``"en"``."""
    names = [os.environ.get("LIPSYNC_LANG", "")]
    names += [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE")]
    names.append(locale.getlocale()[0] or "")  # Windows sets none of the variables
    for name in names:
        name = name.lower()
        if name.startswith(("zh", "chinese")):
            return "zh"
        if name.startswith(("en", "english")):
            return "en"
    return "en"


def tr(text: str, /, **values) -> str:
    """Translate ``text`` and fill its ``{named}`` places with ``values``."""
    text = CATALOGUES[language()].get(text, text)
    return text.format(**values) if values else text


def use_utf8_console() -> None:
    """Keep printing possible on consoles whose encoding lacks Chinese."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
