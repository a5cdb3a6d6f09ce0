"""Messages in the user's language, by gettext.

``tr("Epoch {epoch}/{total}", epoch=1, total=9)`` looks the English text up in the catalogue of
the language (``locale/<language>/LC_MESSAGES/lipsync.mo``) and fills it in. A language is there
when its catalogue is: ``docs/translating.md`` shows how to add one.
"""

import gettext
import locale
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from .shown_values import shown

LOCALE_DIR = Path(__file__).with_name("locale")
DOMAIN = "lipsync"
SOURCE_LANGUAGE = "en"  # that of the texts in the code
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides

_requested: ContextVar[str | None] = ContextVar("language", default=None)


def tr(text: str, /, **values) -> str:
    """Translate ``text`` and fill its ``{named}`` placeholders with ``values``, which may come from
    any file: ``shown_values`` says how they are shown."""
    text = _catalogue(LOCALE_DIR, language()).gettext(text) if text else text
    return _filled(text, values) if values else text


def tr_n(singular: str, plural: str, /, n: int, **values) -> str:
    """As ``tr``, in the form for ``n`` things: ``tr_n("{n} clip", "{n} clips", 1)``."""
    return _filled(tr_plural(singular, plural, n), {"n": n, **values})


def N_(text: str) -> str:
    """``text`` itself, marked for the catalogue: for tables whose texts reach ``tr`` later."""
    return text


def tr_plural(singular: str, plural: str, n: int) -> str:
    """The translation for ``n`` things, not filled in."""
    return _catalogue(LOCALE_DIR, language()).ngettext(singular, plural, n)


def nN_(singular: str, plural: str) -> tuple[str, str]:
    """Both texts, marked for the catalogue, as ``N_`` does."""
    return singular, plural


def _filled(text: str, values: dict) -> str:
    return text.format(**{name: shown(value) for name, value in values.items()})


# ---------------------------------------------------------------------------- the language


def language() -> str:
    """The language of the messages here and now: ``"en"`` or the name of a catalogue, such as
    ``"zh_CN"``; what ``use_language`` set, else what the user's environment asks for."""
    return _requested.get() or match_language(*_preferred())


@contextmanager
def use_language(name: str | None) -> Iterator[None]:
    """Messages are in the language ``name`` inside the block, in this thread (or task) only.

    Args:
        name: such as ``"zh_CN"``, ``"zh-Hans"`` or ``"en"``; one without a catalogue is English.
            None: the language stays as it is.
    """
    token = _requested.set(match_language(name) if name else _requested.get())
    try:
        yield
    finally:
        _requested.reset(token)


def available_languages() -> tuple[str, ...]:
    """English and every language with a compiled catalogue, sorted."""
    return _available(LOCALE_DIR)


def match_language(*names: str) -> str:
    """The available language for the first of ``names`` that has one; English where none has.

    Args:
        names: as locales (``zh_CN.UTF-8``), tags (``zh-Hans``), or as Windows says
            (``Chinese (Simplified)_China``).
    """
    for name in names:
        match = _match(name, available_languages())
        if match:
            return match
    return SOURCE_LANGUAGE


def _preferred() -> list[str]:
    """The languages that the environment asks for, best first.

    ``LIPSYNC_LANG`` goes before all. The rest are gettext's rules: the first of ``LC_ALL``,
    ``LC_MESSAGES`` and ``LANG`` that is set is the locale; ``LANGUAGE``, a list with colons, goes
    before it, but not in the C locale, which is also that of a system where none is set.
    """
    names = [os.environ.get("LIPSYNC_LANG", "")]
    current = next(filter(None, map(os.environ.get, VARIABLES)), None)
    if current is None and sys.platform == "win32":  # sets none of the variables
        current = locale.getlocale()[0]
    if not _is_c_locale(current or "C"):
        names += [*os.environ.get("LANGUAGE", "").split(":"), current]
    return [name for name in names if name]


def _is_c_locale(name: str) -> bool:
    return re.split("[.@]", name)[0].upper() in ("C", "POSIX")


@cache
def _match(name: str, available: tuple[str, ...]) -> str | None:
    """The best of ``available`` for a locale, tag or Windows name; None: there is none.

    ``zh_Hant_TW`` takes ``zh_Hant_TW``, else ``zh_Hant``, else ``zh``, else the first catalogue of
    Chinese.
    """
    if _is_c_locale(name):
        return SOURCE_LANGUAGE
    parts = _language_tag(name).lower().split("_")
    tags = {tag.lower(): tag for tag in available}
    for length in range(len(parts), 0, -1):
        tag = "_".join(parts[:length])
        if tag in tags:
            return tags[tag]
    return next((tag for tag in available if tag.lower().split("_")[0] == parts[0]), None)


def _language_tag(name: str) -> str:
    """``zh_CN`` of ``zh_CN.UTF-8``, ``zh-CN`` or ``Chinese (Simplified)_China``."""
    name = re.split("[.@]", name)[0].strip().replace("-", "_").lower()
    if name.startswith("chinese"):
        return "zh_TW" if re.search("traditional|taiwan|hong|macao|macau", name) else "zh_CN"
    word = re.split("[ _]", name)[0]
    alias = locale.locale_alias.get(word, "") if len(word) > 3 else ""  # "german": "de_DE.…"
    return alias.split(".")[0] or name


# ---------------------------------------------------------------------------- catalogues


@cache
def _available(folder: Path) -> tuple[str, ...]:
    catalogues = folder.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")
    return tuple(sorted({SOURCE_LANGUAGE, *(path.parts[-3] for path in catalogues)}))


@cache
def _catalogue(folder: Path, name: str) -> gettext.NullTranslations:
    path = folder / name / "LC_MESSAGES" / f"{DOMAIN}.mo"
    if not path.is_file():  # English
        return gettext.NullTranslations()
    with open(path, "rb") as file:
        return gettext.GNUTranslations(file)


def use_utf8_console() -> None:
    """Keep printing possible on consoles whose encoding lacks Chinese."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
