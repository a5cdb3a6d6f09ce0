"""CLI: update and compile the catalogues of messages (``make messages``).

The template ``src/i18n/locale/lipsync.pot`` lists every text that the code hands to ``tr``; each
``src/i18n/locale/<language>/LC_MESSAGES/lipsync.po`` holds their translations, and the ``.mo``
beside it is what the program reads. Nothing written depends on the time or the machine.
"""

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog
from babel.messages.catalog import Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.i18n.messages import DOMAIN, LOCALE_DIR, tr

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("*.py", "src/**/*.py", "tools/*.py", "benchmarks/*.py")
# How many arguments of a call are texts: two are a singular and its plural.
KEYWORDS = {"tr": 1, "N_": 1, "plot_tr": 1, "tr_n": 2, "tr_plural": 2, "nN_": 2}
HEADERS = ("Language", "Plural-Forms", "MIME-Version", "Content-Type", "Content-Transfer-Encoding")


class PlainCatalog(Catalog):
    """A catalogue whose headers are the same whenever and wherever it is written."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        headers = [pair for pair in super().mime_headers if pair[0] in HEADERS]
        return [("Project-Id-Version", DOMAIN), *headers, ("X-Generator", "Babel\n")]


def extract() -> Catalog:
    """Every text of the code with the files it stands in, sorted by file and text."""
    files_by_text: dict[str | tuple[str, str], set[str]] = {}
    for path in sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)}):
        for text in texts_in(path.read_text(encoding="utf-8")):
            files_by_text.setdefault(text, set()).add(path.relative_to(ROOT).as_posix())
    template = _new_catalogue(None)
    for text in sorted(files_by_text, key=lambda text: (sorted(files_by_text[text]), str(text))):
        _add(template, text, None, sorted(files_by_text[text]))
    return template


def texts_in(code: str) -> Iterator[str | tuple[str, str]]:
    """The texts that Python code hands to ``tr`` and the like; a pair has a plural.

    Babel's own reader of Python knows neither a choice between two texts nor calls in f-strings.
    """
    for node in ast.walk(ast.parse(code)):
        count = KEYWORDS.get(_called(node)) if isinstance(node, ast.Call) else None
        if count == 1 and node.args:
            yield from _literals(node.args[0])
        elif count == 2:
            yield from zip(*map(_literals, node.args[:2]), strict=True)


def _called(call: ast.Call) -> str:
    """The last part of the called name: ``tr`` of ``messages.tr(…)``."""
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    return name.removeprefix("_")


def _literals(argument: ast.expr) -> list[str]:
    """The texts that an argument can be, as far as they stand there."""
    if isinstance(argument, ast.IfExp):
        return _literals(argument.body) + _literals(argument.orelse)
    is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    return [argument.value] if is_text else []


def updated(template: Catalog, po: Path) -> Catalog:
    """The catalogue of a ``.po`` file with the template's texts: new ones without a translation,
    those that the code no longer has dropped."""
    old, new = read_catalogue(po), _new_catalogue(po.parts[-3])
    for message in template:
        if message.id:
            known = old.get(message.id)
            _add(new, message.id, known, [file for file, _ in message.locations])
    return new


def read_catalogue(po: Path) -> Catalog:
    """A ``.po`` file as it is."""
    with open(po, "rb") as file:
        return read_po(file, locale=po.parts[-3], domain=DOMAIN)


def po_bytes(catalogue: Catalog) -> bytes:
    """The catalogue as a ``.po`` file: sorted by file and text, without line numbers."""
    file = io.BytesIO()
    write_po(file, catalogue, width=100, include_lineno=False)
    return file.getvalue()


def mo_bytes(catalogue: Catalog) -> bytes:
    """The catalogue as a ``.mo`` file; texts without a translation are left out."""
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def catalogues(folder: Path = LOCALE_DIR) -> list[Path]:
    """The ``.po`` files."""
    return sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def update(folder: Path = LOCALE_DIR) -> dict[str, list[str]]:
    """Write the template and every catalogue anew.

    Returns:
        The texts that have no translation, by language.
    """
    template, missing = extract(), {}
    (folder / f"{DOMAIN}.pot").write_bytes(po_bytes(template))
    for po in catalogues(folder):
        catalogue = updated(template, po)
        po.write_bytes(po_bytes(catalogue))
        po.with_suffix(".mo").write_bytes(mo_bytes(catalogue))
        missing[po.parts[-3]] = untranslated(catalogue)
    return missing


def untranslated(catalogue: Catalog) -> list[str]:
    """The texts without a translation."""
    return [
        message.id if isinstance(message.id, str) else message.id[0]
        for message in catalogue
        if message.id and not (message.string and all(_forms(message.string)))
    ]


def _forms(string: str | tuple[str, ...]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else string


def _new_catalogue(language: str | None) -> Catalog:
    comment = f"# Messages of {DOMAIN}. How to translate: docs/translating.md"
    return PlainCatalog(language, DOMAIN, header_comment=comment, fuzzy=False)


def _add(
    catalogue: Catalog, text: str | tuple[str, str], known: Message | None, files: list[str]
) -> None:
    """Add a text with its translation and the translator's remarks, if it is known."""
    message = catalogue.add(text, locations=[(file, 0) for file in files])
    if known:
        message.string, message.user_comments = known.string, known.user_comments
        message.flags |= known.flags & {"fuzzy"}
    if "python-brace-format" in message.flags:  # "95 % of {n}" is no format of the other kind
        message.flags.discard("python-format")


def main() -> int:
    make_parser(
        tr("Update and compile the catalogues of messages."),
        "python tools/update_messages.py",
        settings=False,
    ).parse_args()
    status = 0
    for name, texts in update().items():
        print(tr("{language}: {n} messages without a translation", language=name, n=len(texts)))
        for text in texts:
            print(f"  {text!r}")
            status = 1
    return status


if __name__ == "__main__":
    run(main)
