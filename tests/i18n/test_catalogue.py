"""The catalogues: every text is translated with its placeholders, and nothing in them is stale."""

import argparse
import ast
import gettext
import inspect
import re
import string
from pathlib import Path

import pytest

from src.i18n import argparse_messages
from src.i18n.messages import LOCALE_DIR, available_languages
from tools.update_messages import (
    SOURCES,
    catalogues,
    extract,
    mo_bytes,
    po_bytes,
    read_catalogue,
    texts_in,
    untranslated,
    update,
    updated,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = catalogues()
each_catalogue = pytest.mark.parametrize("po", CATALOGUES, ids=lambda po: po.parts[-3])


@pytest.fixture(scope="module")
def template():
    return extract()


def entries(po: Path) -> list:
    return [message for message in read_catalogue(po) if message.id]


def forms(text: str | tuple) -> tuple[str, ...]:
    """A text, or the singular and the plurals."""
    return (text,) if isinstance(text, str) else tuple(text)


def braces(text: str) -> set[tuple]:
    """The ``{named}`` placeholders of a text with their formats."""
    return {
        (name, conversion, spec)
        for _, name, spec, conversion in string.Formatter().parse(text)
        if name is not None
    }


def percents(text: str) -> list[str]:
    """The ``%(named)s`` and ``%s`` placeholders."""
    return sorted(re.findall(r"%(?:\(\w+\))?[a-z]", text))


def different_placeholders(text: str, translation: str, flags: set[str]) -> bool:
    if "python-format" in flags:
        return percents(text) != percents(translation)
    return "{" in text + translation and braces(text) != braces(translation)


# ---------------------------------------------------------------------------- extraction


def test_texts_are_collected(template):
    texts = {text for message in template if message.id for text in forms(message.id)}
    assert "exists: {folder}" in texts and "created: {folder}" in texts
    assert "a whole number is required" in texts and "usage: " in texts
    assert len(texts) > 80


def test_every_way_to_hand_a_text_over_is_extracted():
    code = """
tr("plain")
tr("joined "
   "literals", n=1)
tr("this" if so else "that")
f"{tr('inside'):>6s} and {nothing}"
messages.tr("of the module")
TABLE = {"key": N_("marked")}
nN_("{n} thing", "{n} things")
tr(variable)
tr()
other("not for users")
"""
    assert sorted(texts_in(code), key=str) == [
        ("{n} thing", "{n} things"), "inside", "joined literals", "marked", "of the module",
        "plain", "that", "this",
    ]  # fmt: skip


def test_texts_of_tables_are_marked():
    """What reaches tr() as a variable is marked where it stands: nothing else is handed over."""
    # plot_tr() hands its own argument on; its calls are extracted like those of tr().
    allowed = {"kinds[error['type']]", "what", "hint", "text, **values", "field.description"}
    indirect = set()
    for path in sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr" and node.args:
                indirect |= set() if list(texts_in(ast.unparse(node))) else {ast.unparse(node)}
    assert indirect <= {f"tr({name})" for name in allowed}


def test_indirect_texts_are_in_chinese():
    """Texts that reach tr() through a table."""
    texts = {message.id for message in entries(LOCALE_DIR / "zh_CN/LC_MESSAGES/lipsync.po")}
    for text in ("a whole number is required", "a number is required", "true or false is required",
                 "a text is required", "a section with settings is required"):  # fmt: skip
        assert text in texts


def argparse_texts() -> set[str]:
    """What this Python's argparse shows to users: not what it raises at programmers."""
    texts = set()
    for_programmers = re.compile(
        "callable|conflict|dest=|invalid option string|must be optional|multiple subparser|"
        "cannot merge|is an invalid argument|with mode|not defined"
    )
    for node in ast.walk(ast.parse(inspect.getsource(argparse))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "ngettext"):
            texts |= {
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            }
    return {text for text in texts if not for_programmers.search(text)}


def test_every_text_of_argparse_is_listed():
    listed = {text for entry in argparse_messages.TEXTS for text in forms(entry)}
    assert len(argparse_texts()) > 20 and argparse_texts() <= listed


# ---------------------------------------------------------------------------- catalogues


def test_every_catalogue_is_a_language():
    names = {po.parts[-3] for po in CATALOGUES}
    assert "zh_CN" in names and set(available_languages()) == names | {"en"}


@each_catalogue
def test_every_text_has_a_translation(po, template):
    catalogue = read_catalogue(po)
    missing = {
        message.id: [file for file, _ in message.locations]
        for message in template
        if message.id and message.id not in catalogue
    }
    assert not missing and not untranslated(catalogue)


@each_catalogue
def test_translations_have_the_same_placeholders(po):
    wrong = {
        message.id: message.string
        for message in entries(po)
        for translation in forms(message.string)
        if translation and different_placeholders(forms(message.id)[-1], translation, message.flags)
    }
    assert not wrong


@pytest.mark.parametrize(
    ("text", "translation", "flags"),
    [
        ("{n} of {all}", "{all} 中的 {n}", set()),
        ("no {place}s", "没有 {place}", set()),
        ("%(a)s and %s", "%s，%(a)s", {"python-format"}),
        ("5 to 95 % of {n}", "{n} 的 5–95 %", set()),
    ],
)
def test_placeholders_may_change_places(text, translation, flags):
    assert not different_placeholders(text, translation, flags)


@pytest.mark.parametrize(
    ("text", "translation", "flags"),
    [
        ("{n} of {all}", "{n}", set()),
        ("{n} of", "{m}", set()),
        ("{ms:+.0f} ms", "{ms} 毫秒", set()),
        ("{n}", "n", set()),
        ("n", "{n}", set()),
        ("{value!r}", "{value}", set()),
        ("%(a)s", "%(b)s", {"python-format"}),
        ("%s", "s", {"python-format"}),
    ],
)
def test_other_placeholders_are_noticed(text, translation, flags):
    assert different_placeholders(text, translation, flags)


@each_catalogue
def test_no_text_is_uncertain_or_obsolete(po):
    catalogue = read_catalogue(po)
    assert not [message.id for message in catalogue if message.fuzzy]
    assert not catalogue.obsolete and b"#~" not in po.read_bytes()


@each_catalogue
def test_the_catalogue_holds_no_leftovers(po, template):
    texts = {message.id for message in template}
    assert [message.id for message in entries(po) if message.id not in texts] == []


@each_catalogue
def test_the_catalogue_is_what_make_messages_writes(po, template):
    assert po_bytes(updated(template, po)).decode() == po.read_text(encoding="utf-8")


def test_the_template_is_what_make_messages_writes(template):
    pot = LOCALE_DIR / "lipsync.pot"
    assert po_bytes(template).decode() == pot.read_text(encoding="utf-8")


@each_catalogue
def test_the_compiled_catalogue_is_that_of_the_texts(po, tmp_path):
    (tmp_path / "compiled.mo").write_bytes(mo_bytes(read_catalogue(po)))
    compiled = []
    for path in (po.with_suffix(".mo"), tmp_path / "compiled.mo"):
        with open(path, "rb") as file:
            compiled.append(gettext.GNUTranslations(file)._catalog)
    present, expected = ({key: texts[key] for key in texts if key} for texts in compiled)
    assert present == expected


@each_catalogue
def test_headers_name_the_language_and_no_person(po):
    headers = dict(read_catalogue(po).mime_headers)
    content = po.read_text(encoding="utf-8")
    assert headers["Language"] == po.parts[-3]
    assert headers["Content-Type"].lower() == "text/plain; charset=utf-8"
    assert "Date" not in content.split("\n\n")[0] and "@" not in content.split("\n\n")[0]


# ---------------------------------------------------------------------------- make messages


def test_a_new_language_is_one_file(tmp_path):
    po = tmp_path / "ja" / "LC_MESSAGES" / "lipsync.po"
    po.parent.mkdir(parents=True)
    template = (LOCALE_DIR / "lipsync.pot").read_text(encoding="utf-8")
    po.write_text(
        template.replace('msgid "stopped"\nmsgstr ""', 'msgid "stopped"\nmsgstr "中断しました"'),
        encoding="utf-8",
    )
    missing = update(tmp_path)["ja"]
    assert "stopped" not in missing and "exists: {folder}" in missing
    with open(po.with_suffix(".mo"), "rb") as file:
        assert gettext.GNUTranslations(file).gettext("stopped") == "中断しました"
    assert '"Language: ja\\n"' in po.read_text(encoding="utf-8")
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert update(tmp_path)["ja"] == missing
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_translations_survive_an_update(tmp_path):
    po = tmp_path / "ja" / "LC_MESSAGES" / "lipsync.po"
    po.parent.mkdir(parents=True)
    po.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        '# said after Ctrl+C\nmsgid "stopped"\nmsgstr "中断しました"\n\n'
        '#, fuzzy\nmsgid "exists: {folder}"\nmsgstr "{folder}?"\n\n'
        'msgid "no longer in the code"\nmsgstr "x"\n\n'
        '#~ msgid "obsolete before"\n#~ msgstr "x"\n',
        encoding="utf-8",
    )
    update(tmp_path)
    content = po.read_text(encoding="utf-8")
    assert "# said after Ctrl+C\n" in content and 'msgstr "中断しました"' in content
    assert '#, fuzzy, python-brace-format\nmsgid "exists: {folder}"\nmsgstr "{folder}?"' in content
    assert "no longer in the code" not in content and "obsolete before" not in content
