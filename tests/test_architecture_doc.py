"""``docs/architecture.md`` and its translation: what they name exists, what they draw is so."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.test_layers import LEVEL, ROOT, imports_of, modules

PAGES = ("architecture.md", "architecture.zh-CN.md")
REFERENCE = re.compile(r"`(src/[\w/]+\.py)(?:: ([\w.]+))?`")
FILE = re.compile(r"`((?:src|tests|docs|tools|benchmarks)/[\w./-]+|[\w.-]+\.(?:yaml|toml|md))`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
ARROW = re.compile(r"^ +(\w+)(?:\(\[\w+\.py\]\))? --> (\w+)$", re.MULTILINE)
LEVEL_ROW = re.compile(r"^\| (\d+) \| (\w+) \|", re.MULTILINE)


@pytest.fixture(params=PAGES)
def page(request) -> str:
    return (ROOT / "docs" / request.param).read_text(encoding="utf-8")


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module defines: ``function``, ``Class``, ``CONSTANT``, ``Class.method``."""
    names = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        names |= _defined_names(statement)
        if isinstance(statement, ast.ClassDef):
            names |= {
                f"{statement.name}.{name}"
                for member in statement.body for name in _defined_names(member)
            }  # fmt: skip
    return frozenset(names)


def _defined_names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    return {target.id for target in targets if isinstance(target, ast.Name)}


def wrong_references(text: str) -> list[str]:
    """The ``src/….py`` and ``src/….py: function`` of a text that do not exist."""
    return [
        f"{path}: {name}" if name else path
        for path, name in REFERENCE.findall(text)
        if not (ROOT / path).is_file() or (name and name not in names_in(ROOT / path))
    ]


def wrong_files(text: str, folder: Path) -> list[str]:
    """The files named in a text, and those it links to, that do not exist."""
    missing = [name for name in FILE.findall(text) if not (ROOT / name).exists()]
    return missing + [name for name in LINK.findall(text) if not (folder / name).exists()]


def measured_imports() -> dict[str, set[str]]:
    """Which package, or script, imports which packages."""
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        package = module.split(".")[0]
        imports = imports_of(path.read_text(encoding="utf-8"), module)
        targets = {imported.split(".")[0] for _, imported, _ in imports}
        graph.setdefault(package, set()).update(targets - {package})
    graph.pop("__main__")  # it imports scripts by their names
    return graph


def transitive_reduction(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from paths of others."""

    def reachable(start: str) -> set[str]:
        return set().union(
            *({target} | reachable(target) for target in graph.get(start, ()))
        )  # fmt: skip

    return {
        (source, target) for source, targets in graph.items() for target in targets
        if not any(target in reachable(other) for other in targets - {target})
    }  # fmt: skip


def test_what_is_named_exists(page):
    assert len(REFERENCE.findall(page)) > 100
    assert wrong_references(page) == []
    assert wrong_files(page, ROOT / "docs") == []


def test_arrows_are_those_of_the_imports(page):
    arrows = ARROW.findall(page)
    assert len(arrows) == len(set(arrows)) == page.count("-->")
    assert set(arrows) == transitive_reduction(measured_imports())


def test_packages_and_their_levels_are_those_of_the_folders(page):
    levels = {package: int(level) for level, package in LEVEL_ROW.findall(page)}
    folders = {path.parent.name for path in (ROOT / "src").glob("*/__init__.py")}
    assert levels == LEVEL and set(levels) == folders


def test_both_pages_name_the_same():
    english, chinese = (
        REFERENCE.findall((ROOT / "docs" / name).read_text(encoding="utf-8")) for name in PAGES
    )
    assert english == chinese


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`src/media/reader.py`", []),
        ("`src/media/reader.py: FrameGrid.add`, `src/core/constants.py: FPS`", []),
        ("`src/media/read.py`", ["src/media/read.py"]),
        ("`src/media/reader.py: read_pictures`", ["src/media/reader.py: read_pictures"]),
        ("`src/media/reader.py: FrameGrid.append`", ["src/media/reader.py: FrameGrid.append"]),
    ],
)
def test_wrong_references_are_noticed(text, expected):
    assert wrong_references(text) == expected


def test_wrong_files_are_noticed():
    text = "`tests/test_layers.py` `tests/test_floors.py` [a](clocks.md) [b](watches.md#x)"
    assert wrong_files(text, ROOT / "docs") == ["tests/test_floors.py", "watches.md"]


def test_only_arrows_that_follow_from_others_are_left_out():
    graph = {"a": {"b", "c"}, "b": {"c"}, "d": {"c"}}
    assert transitive_reduction(graph) == {("a", "b"), ("b", "c"), ("d", "c")}
