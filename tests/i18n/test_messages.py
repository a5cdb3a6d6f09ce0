"""Messages: the language is chosen by gettext's rules, and texts are looked up in it."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo

from src.core.background import BackgroundTask
from src.i18n import messages
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("LIPSYNC_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture
def speak(monkeypatch):
    """``speak(LANG="zh_CN")`` sets the environment's language variables: the language chosen."""

    def choose(**variables):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return messages.language()

    monkeypatch.setattr(messages.sys, "platform", "linux")
    return choose


@pytest.fixture
def locale_dir(tmp_path, monkeypatch) -> Path:
    """An empty folder of catalogues."""
    monkeypatch.setattr(messages, "LOCALE_DIR", tmp_path)
    return tmp_path


def add_language(folder: Path, name: str, translations: dict[str, str]) -> None:
    catalogue = Catalog()
    for text, translation in translations.items():
        catalogue.add(text, translation)
    path = folder / name / "LC_MESSAGES" / "lipsync.mo"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        write_mo(file, catalogue)


# ---------------------------------------------------------------------------- the language


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_TW.UTF-8"}, "zh_CN"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LIPSYNC_LANG": "en"}, "en"),
        ({"LANG": "en_US.UTF-8", "LIPSYNC_LANG": "zh"}, "zh_CN"),
        ({"LIPSYNC_LANG": "ZH"}, "zh_CN"),
    ],
)
def test_language(speak, variables, expected):
    assert speak(**variables) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        # The first of LC_ALL, LC_MESSAGES, LANG that is set and not empty decides.
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "POSIX", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "fr_FR.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LC_ALL": "zh_CN.UTF-8", "LC_MESSAGES": "en_US", "LANG": "en_US"}, "zh_CN"),
        ({"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US"}, "zh_CN"),
        # LANGUAGE is a list, and goes before them.
        ({"LANGUAGE": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANGUAGE": "zh_CN", "LC_ALL": "en_US.UTF-8"}, "zh_CN"),
        ({"LANGUAGE": "fr:zh_CN:en", "LANG": "en_US.UTF-8"}, "zh_CN"),
        ({"LANGUAGE": "en_GB:zh_CN", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANGUAGE": "fr:de", "LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANGUAGE": "", "LANG": "zh_CN.UTF-8"}, "zh_CN"),
        # It is ignored in the C locale, which is also that of a system without any variable.
        ({"LANGUAGE": "zh_CN", "LC_ALL": "C"}, "en"),
        ({"LANGUAGE": "zh_CN", "LANG": "C.UTF-8"}, "en"),
        ({"LANGUAGE": "zh_CN", "LC_ALL": "POSIX", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANGUAGE": "zh_CN"}, "en"),
        # LIPSYNC_LANG goes before all.
        ({"LIPSYNC_LANG": "zh", "LC_ALL": "C"}, "zh_CN"),
        ({"LIPSYNC_LANG": "en", "LANGUAGE": "zh_CN", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({"LIPSYNC_LANG": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LIPSYNC_LANG": "fr", "LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LIPSYNC_LANG": "", "LANG": "zh_CN.UTF-8"}, "zh_CN"),
    ],
)
def test_the_order_of_the_variables(speak, variables, expected):
    assert speak(**variables) == expected


@pytest.mark.parametrize(
    "name",
    ["zh", "ZH", "zh_CN", "zh-CN", "zh_CN.UTF-8", "zh_CN.GB18030@pinyin", "zh_TW", "zh_HK.Big5",
     "zh_Hans", "zh-Hans-CN", "zh_Hant", "Chinese (Simplified)_China", "chinese",
     "Chinese (Simplified)_China.936", "Chinese (Traditional)_Taiwan"],
)  # fmt: skip
def test_every_chinese_is_the_one_there_is(name):
    assert messages.match_language(name) == "zh_CN"


@pytest.mark.parametrize("name", ["en", "en-GB", "English_United States", "C", "fr", "", "zhuang"])
def test_english_is_what_is_left(name):
    assert messages.match_language(name) == "en"


def test_windows_names(speak, monkeypatch):
    monkeypatch.setattr(messages.locale, "getlocale", lambda: ("Chinese (Simplified)_China", "936"))
    assert speak() == "en", "only Windows goes without variables"
    monkeypatch.setattr(messages.sys, "platform", "win32")
    assert speak() == "zh_CN"
    assert speak(LANG="en_US.UTF-8") == "en"
    assert speak(LANGUAGE="en") == "en"
    monkeypatch.setattr(messages.locale, "getlocale", lambda: (None, None))
    assert speak() == "en"


# ---------------------------------------------------------------------------- adding a language


def test_a_language_is_there_when_its_catalogue_is(speak, locale_dir):
    assert speak(LANG="tlh_QO.UTF-8") == "en"
    add_language(locale_dir / "new", "tlh", {"{n} clips": "{n} chu'"})
    messages.LOCALE_DIR = locale_dir / "new"
    assert messages.available_languages() == ("en", "tlh")
    assert speak(LANG="tlh_QO.UTF-8") == "tlh"
    assert messages.tr("{n} clips", n=3) == "3 chu'"
    assert messages.tr("not translated {n}", n=3) == "not translated 3"
    assert speak(LANG="en_GB.UTF-8") == "en" and messages.tr("{n} clips", n=3) == "3 clips"


def test_the_closest_catalogue_is_taken(locale_dir):
    for name in ("pt_BR", "zh_CN", "zh_Hant"):
        add_language(locale_dir, name, {})
    matches = {
        name: messages.match_language(name)
        for name in ("pt_BR.UTF-8", "pt_PT", "pt", "zh_Hant_TW", "zh_CN", "zh-Hans", "German", "de")
    }
    assert matches == {
        "pt_BR.UTF-8": "pt_BR", "pt_PT": "pt_BR", "pt": "pt_BR", "zh_Hant_TW": "zh_Hant",
        "zh_CN": "zh_CN", "zh-Hans": "zh_CN", "German": "en", "de": "en",
    }  # fmt: skip


def test_windows_names_of_other_languages(locale_dir):
    add_language(locale_dir, "ja", {})
    add_language(locale_dir, "de", {})
    assert messages.match_language("Japanese_Japan.932") == "ja"
    assert messages.match_language("German_Germany") == "de"


# ---------------------------------------------------------------------------- texts


def test_texts_are_translated_and_filled(speak, locale_dir):
    add_language(locale_dir, "zh_CN", {"found {n} things": "找到 {n} 个"})
    assert speak(LIPSYNC_LANG="zh") == "zh_CN"
    assert messages.tr("found {n} things", n=3) == "找到 3 个"
    assert messages.tr("no such {n}", n=3) == "no such 3"
    assert messages.tr("100% {plain}") == "100% {plain}"
    assert messages.tr("") == ""
    assert speak(LIPSYNC_LANG="en") == "en"
    assert messages.tr("found {n} things", n=3) == "found 3 things"


def test_the_chinese_lines_of_the_guide(speak):
    speak(LIPSYNC_LANG="zh")
    folder = "data/processed"
    assert (
        messages.tr_n("found {n} video file", "found {n} video files", 100) == "找到 100 个视频文件"
    )
    assert messages.tr("processing videos") == "处理视频"
    assert (
        messages.tr_n("Done! {n} sample processed", "Done! {n} samples processed", 95)
        == "处理完成！共处理 95 个样本"
    )
    assert messages.tr("data saved in: {path}", path=folder) == "数据保存在: data/processed"
    index = f"{folder}/dataset_index.pkl"
    assert messages.tr("index file: {path}", path=index) == f"索引文件: {index}"


# ---------------------------------------------------------------------------- a language asked for


def test_a_language_is_used_inside_its_block_only(speak):
    speak(LIPSYNC_LANG="en")
    with messages.use_language("zh-Hans"):
        assert (messages.language(), messages.tr("stopped")) == ("zh_CN", "已中断")
        with messages.use_language("en"):
            assert messages.tr("stopped") == "stopped"
        assert messages.tr("stopped") == "已中断"
        with pytest.raises(ValueError), messages.use_language("fr"):
            assert messages.language() == "en"
            raise ValueError
        assert messages.language() == "zh_CN"
    assert (messages.language(), messages.tr("stopped")) == ("en", "stopped")


def test_threads_have_languages_of_their_own(speak):
    speak(LIPSYNC_LANG="en")
    names = ["en", "zh_CN"] * 2
    all_inside = Barrier(len(names), timeout=HANG_S)

    def translate(name: str) -> str:
        with messages.use_language(name):
            all_inside.wait()
            text = messages.tr("stopped")
            all_inside.wait()
        return text + messages.tr("stopped")

    with ThreadPoolExecutor(len(names)) as threads:
        texts = list(threads.map(translate, names))
    assert texts == ["stoppedstopped", "已中断stopped"] * 2


def test_tasks_have_languages_of_their_own(speak):
    speak(LIPSYNC_LANG="en")

    async def translate(name: str) -> str:
        with messages.use_language(name):
            await asyncio.sleep(0.01)
            return messages.tr("stopped")

    async def both() -> list[str]:
        return await asyncio.gather(translate("zh"), translate("en"))

    # In a thread: tests with a browser may have left a loop in this one.
    with ThreadPoolExecutor(1) as executor:
        texts = executor.submit(asyncio.run, both()).result()
    assert texts == ["已中断", "stopped"]


def test_a_background_task_speaks_the_language_of_its_block(speak):
    speak(LIPSYNC_LANG="en")
    with (
        messages.use_language("zh"),
        BackgroundTask(lambda cancellable: messages.tr("stopped")) as task,
    ):
        assert task.result() == "已中断"


@pytest.mark.parametrize(
    ("language", "n", "expected"),
    [
        ("en", 0, "0 of 0 clips can be used"), ("en", 1, "0 of 1 clip can be used"),
        ("en", 2, "0 of 2 clips can be used"), ("zh_CN", 1, "1 个片段中有 0 个可用"),
        ("zh_CN", 2, "2 个片段中有 0 个可用"),
    ],
)  # fmt: skip
def test_what_is_counted_is_named_in_the_form_for_so_many(language, n, expected):
    with messages.use_language(language):
        said = messages.tr_n(
            "{used} of {n} clip can be used", "{used} of {n} clips can be used", n, used=0
        )
    assert said == expected


# ---------------------------------------------------------------------------- argparse


def run_command(*arguments: str, language: str) -> subprocess.CompletedProcess:
    code = """
import sys
from pathlib import Path
from src.core.cli import make_parser, run
def main():
    parser = make_parser("", "")
    parser.add_argument("path")
    parser.add_argument("--size", type=int, choices=[1, 2])
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--loud", action="store_true")
    group.add_argument("--quiet", action="store_true")
    parser.add_argument("--pair", nargs=2)
    parser.parse_args()
run(main)
"""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=HANG_S,
        env={"LIPSYNC_LANG": language, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
    )  # fmt: skip


def test_the_help_has_chinese_headings():
    done = run_command("--help", language="zh")
    assert done.returncode == 0 and done.stdout.startswith("用法: -c ")
    lines = done.stdout.splitlines()
    assert "位置参数:" in lines and "选项:" in lines
    assert any(line.split() == ["-h,", "--help", "显示本帮助并退出"] for line in lines)
    english = run_command("--help", language="en").stdout
    assert english.startswith("usage: -c ") and "\noptions:\n" in english
    assert "show this help message and exit" in english


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "缺少必需的参数: path"),
        (["a", "b"], "无法识别的参数: b"),
        (["a", "--size"], "参数 --size: 需要一个值"),
        (["a", "--size", "x"], "参数 --size: 无效的 int 值: 'x'"),
        (["a", "--size", "3"], "参数 --size: 无效的选择: 3（可选: 1, 2）"),
        (["a", "--loud", "--quiet"], "参数 --quiet: 不能与参数 --loud 同时使用"),
        (["a", "--loud=1"], "参数 --loud: 不接受取值 '1'"),
        (["a", "--pair", "1"], "参数 --pair: 需要 2 个值"),
    ],
)
def test_usage_errors_are_chinese(arguments, error):
    done = run_command(*arguments, language="zh")
    assert done.returncode == 2 and done.stdout == ""
    # Python 3.10 has "argument" in English; some later ones put the choice in quotes.
    last = done.stderr.splitlines()[-1].replace("argument --", "参数 --").replace("'3'", "3")
    assert last == f"-c: 错误: {error}"
