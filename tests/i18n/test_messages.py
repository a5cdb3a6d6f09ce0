"""Messages: the language is chosen as promised, and every text has a Chinese one."""

import ast
import string
from pathlib import Path

import pytest

from src.i18n import messages
from src.i18n.messages_zh import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("LIPSYNC_LANG", "LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE")


@pytest.fixture
def speak(monkeypatch):
    """Set the environment's language variables; the choice is made anew."""

    def choose(**variables):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(messages.locale, "getlocale", lambda: (None, None))
        messages.language.cache_clear()
        return messages.language()

    yield choose
    monkeypatch.undo()
    messages.language.cache_clear()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LIPSYNC_LANG": "en"}, "en"),
        ({"LANG": "en_US.UTF-8", "LIPSYNC_LANG": "zh"}, "zh"),
        ({"LIPSYNC_LANG": "ZH"}, "zh"),
    ],
)
def test_language(speak, variables, expected):
    assert speak(**variables) == expected


def test_windows_names(speak, monkeypatch):
    speak()
    monkeypatch.setattr(messages.locale, "getlocale", lambda: ("Chinese (Simplified)_China", "936"))
    messages.language.cache_clear()
    assert messages.language() == "zh"


def test_texts_are_translated_and_filled(speak, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "found {n} things", "找到 {n} 个")
    assert speak(LIPSYNC_LANG="zh") == "zh"
    assert messages.tr("found {n} things", n=3) == "找到 3 个"
    assert messages.tr("no such {n}", n=3) == "no such 3"
    assert messages.tr("100% {plain}") == "100% {plain}"
    assert speak(LIPSYNC_LANG="en") == "en"
    assert messages.tr("found {n} things", n=3) == "found 3 things"


def test_the_chinese_lines_of_the_guide(speak):
    speak(LIPSYNC_LANG="zh")
    folder = "data/processed"
    assert messages.tr("found {n} video files", n=100) == "找到 100 个视频文件"
    assert messages.tr("processing videos") == "处理视频"
    assert messages.tr("Done! {n} samples processed", n=95) == "处理完成！共处理 95 个样本"
    assert messages.tr("data saved in: {path}", path=folder) == "数据保存在: data/processed"
    index = f"{folder}/dataset_index.pkl"
    assert messages.tr("index file: {path}", path=index) == f"索引文件: {index}"


# ---------------------------------------------------------------------------- the catalogue


def literals(node: ast.expr) -> list[str]:
    """The texts an argument can be: a literal, or those a conditional expression chooses from."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return literals(node.body) + literals(node.orelse)
    return []


def texts_of(path: Path) -> dict[str, str]:
    """Text -> where it stands, for each tr("...") and say("...") of a file."""
    texts = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("tr", "say"):
            for text in literals(node.args[0]):
                texts[text] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return texts


def all_texts() -> dict[str, str]:
    texts = {}
    for pattern in ("src/**/*.py", "tools/*.py", "benchmarks/*.py", "*.py"):
        for path in sorted(ROOT.glob(pattern)):
            texts |= texts_of(path)
    return texts


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_texts_are_collected():
    texts = all_texts()
    assert "exists: {folder}" in texts and "created: {folder}" in texts  # a conditional expression
    assert len(texts) > 80


def test_every_text_is_in_chinese():
    missing = {text: where for text, where in all_texts().items() if text not in CATALOGUE}
    assert not missing


def test_chinese_texts_have_the_same_places():
    wrong = {
        text: chinese for text, chinese in CATALOGUE.items() if places(text) != places(chinese)
    }
    assert not wrong


def test_indirect_texts_are_in_chinese():
    """Texts that reach tr() through a table."""
    for text in ("a whole number is needed", "a number is needed", "true or false is needed",
                 "a text is needed", "a section with settings is needed"):  # fmt: skip
        assert text in CATALOGUE


def test_the_catalogue_holds_no_leftovers():
    source = " ".join(
        path.read_text(encoding="utf-8")
        for pattern in ("src/**/*.py", "tools/*.py", "benchmarks/*.py", "*.py")
        for path in ROOT.glob(pattern)
        if not path.name.startswith("messages_zh")
    )
    known = all_texts()
    assert [text for text in CATALOGUE if text not in known and f'"{text}"' not in source] == []
