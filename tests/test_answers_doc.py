"""``docs/answers.md`` and its translation: the messages they quote are those of the code."""

import re
import string

import pytest

from src.i18n.messages import LOCALE_DIR
from tests.test_architecture_doc import wrong_files
from tests.test_layers import ROOT
from tools.update_messages import extract, read_catalogue

PAGES = ("answers.md", "answers.zh-CN.md")
QUOTATION = re.compile('["“]([^"“”]+)["”]')
STAND_IN = r"(?:…|N|\d+|No space left on device)"  # for the value of a placeholder


def read_page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def quotations(page: str) -> list[str]:
    """The messages that the second column of the table quotes."""
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [text for row in rows for text in QUOTATION.findall(re.sub("`[^`]*`", "", row[1]))]


def pattern(message: str) -> str:
    """What matches the message with stand-ins for its values."""
    parts = string.Formatter().parse(message)
    return "".join(
        re.escape(text) + (STAND_IN if name is not None else "") for text, name, _, _ in parts
    )


@pytest.fixture(scope="module")
def messages() -> dict[str, list[tuple[str, str]]]:
    """(English text, text of the page's language) of every message, by page."""
    chinese = read_catalogue(LOCALE_DIR / "zh_CN" / "LC_MESSAGES" / "lipsync.po")
    texts = [message.id for message in extract() if message.id and isinstance(message.id, str)]
    return {
        PAGES[0]: [(text, text) for text in texts],
        PAGES[1]: [(text, chinese[text].string) for text in texts if text in chinese],
    }


def quoted_messages(page: str, messages: list[tuple[str, str]]) -> list[list[str]]:
    """The English texts of the messages that match each quotation of a page."""
    patterns = [(english, re.compile(pattern(text))) for english, text in messages]
    return [
        [english for english, text in patterns if text.fullmatch(quotation)]
        for quotation in quotations(page)
    ]


@pytest.mark.parametrize("name", PAGES)
def test_every_quotation_is_a_message(messages, name):
    page = read_page(name)
    matches = quoted_messages(page, messages[name])
    assert len(matches) >= 18
    unknown = [
        text for text, texts in zip(quotations(page), matches, strict=True) if not texts
    ]  # fmt: skip
    assert unknown == []


def test_both_pages_quote_the_same_messages(messages):
    english, chinese = (quoted_messages(read_page(name), messages[name]) for name in PAGES)
    assert english == chinese


@pytest.mark.parametrize("name", PAGES)
def test_files_that_are_named_exist(name):
    assert wrong_files(read_page(name), ROOT / "docs") == []


def test_a_text_that_is_no_message_is_noticed():
    page = '| input | "… has no sound", `a "b"`: "… has no audio" | – |'
    assert quotations(page) == ["… has no sound", "… has no audio"]
    messages = [("{path} has no audio", "{path} has no audio")]
    assert quoted_messages(page, messages) == [[], ["{path} has no audio"]]
