"""CLI: a folder for Windows with Python, all packages and the page: unpack it, double-click, done.

It can be made on any system. Packages are those of requirements.lock, as wheels for Windows; what
each needs there is read from the wheels themselves, as pip would answer for the system it runs on.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.error import URLError
from urllib.request import urlopen
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from packaging.requirements import Requirement

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.core.errors import LipSyncError, MissingFileError, OutputError
from src.core.files import check_writable, written_atomically
from src.i18n.messages import tr
from tools.windows_packages import (
    LOCK,
    Packages,
    PipDownload,
    read_lock,
    read_requirements,
    windows_markers,
)

ROOT = Path(__file__).resolve().parents[1]
PYTHON_URL = "https://www.python.org/ftp/python/3.11.9/python-3.11.9-embed-amd64.zip"
LISTS = ("requirements.txt", "requirements-web.txt")
# Not in requirements.lock: DLLs that PyTorch and ONNX Runtime need and a fresh Windows lacks
# (Microsoft lets programs carry them).
WINDOWS_LOCK = """\
msvc-runtime==14.42.34433 ; python_full_version < '3.11' \\
    --hash=sha256:89574bc376a48e349f97b6dde289367b0a32dedaf3774ef64ed4330e9823e09c
msvc-runtime==14.44.35112 ; python_full_version >= '3.11' \\
    --hash=sha256:aba7fbe71897d25ed53fbb7f391e9f50289378a8a9ae218ba18530c663448391 \\
    --hash=sha256:32f9c706009e16ccc319d6947ce3bffe20e5192bee52b18cf48313f9e7bedfbe \\
    --hash=sha256:d4f6cf106aaf235f2a90952f9ec7de49e9946323880d051abf9745a6d4bf60bf
"""
PROJECT = (
    "LICENSE", "MODEL_CARD.md", "QUICK_START.md", "README.md", "README.zh-CN.md", "app.py",
    "config.yaml", "docs", "example_usage.py", "pretrained", "setup_directories.py", "src", "tools",
)  # fmt: skip
# Of PyTorch: only compilers need them, they are large, and some have the longest names.
LEFT_OUT = re.compile(r"torch/(include|test|share)/.*|torch/lib/.*\.lib")
LONGEST_PATH = 259  # of Windows, with the folder into which somebody unpacks it

START = """\
@echo off
chcp 65001 >nul
pushd "%~dp0"
{language}python\\python.exe -X utf8 app.py %*
if errorlevel 1 pause
popd
"""
README = """\
lipsync for Windows 10 and 11, 64 bit. Nothing is installed, and nothing is sent anywhere.

1. Unpack the whole folder, best to a short path such as C:\\lipsync (Windows allows names of 259
   characters).
2. Double-click start.bat. The first start takes a minute; then the page opens in your browser.
3. To end it, press Ctrl+C in the black window, or close that window.

Windows may warn of an unknown publisher: More info, Run anyway. The folder python holds Python and
the packages that the project uses, each with its own licence. In a terminal:
  python\\python.exe -X utf8 src\\inference.py --video v.mp4 --score-only
To remove it, delete the folder. docs\\page.md explains the page.
"""
README_ZH = """\
lipsync 整合包，适用于 64 位 Windows 10 和 11。无需安装，不向任何地方发送数据。

1. 解压整个文件夹，路径最好短一些，例如 C:\\lipsync（Windows 的路径最长 259 个字符）。
2. 双击“启动.bat”。第一次启动约需一分钟，之后浏览器会自动打开页面。
3. 要结束程序，在黑色窗口中按 Ctrl+C，或直接关闭该窗口。

Windows 可能提示“未知发布者”：点“更多信息”，再点“仍要运行”。
文件夹 python 中是 Python 和所用的软件包，各有自己的许可证。
在终端中使用：
  python\\python.exe -X utf8 src\\inference.py --video v.mp4 --score-only
要删除它，删除这个文件夹即可。页面的说明见 docs\\page.zh-CN.md。
"""


# ---------------------------------------------------------------------------- the folder


def python_version(archive: Path) -> str:
    """Such as ``3.11``, of an embeddable Python.

    Raises:
        LipSyncError: the file is none.
    """
    try:
        with ZipFile(archive) as opened:
            names = opened.namelist()
    except (OSError, BadZipFile):
        names = []
    found = [match for name in names if (match := re.fullmatch(r"python3(\d+)\._pth", name))]
    if len(found) != 1 or "python.exe" not in names:
        raise LipSyncError(
            tr("{path} is not an embeddable Python: python-3.11.9-embed-amd64.zip or another 3.10 "
               "to 3.13 of python.org", path=archive)
        )  # fmt: skip
    return f"3.{found[0][1]}"


def make_folder(folder: Path, archive: Path, wheels: Iterable[Path]) -> None:
    """Write the whole folder.

    Args:
        folder: is there, and empty.
        archive: an embeddable Python.
        wheels: all packages.
    """
    python, minor = folder / "python", python_version(archive).partition(".")[2]
    extract(archive, lambda name: python / name)
    # The program is found first; nothing else of the computer is: neither its packages nor its
    # settings of Python.
    lines = ["..", f"python3{minor}.zip", ".", "Lib\\site-packages", "import site"]
    (python / f"python3{minor}._pth").write_bytes(_text(lines))
    for wheel in wheels:
        extract(wheel, lambda name: _place_in(python, name))
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    # A byte order mark tells old editors that it is UTF-8; the command line would stumble over it.
    for name, language in (("start.bat", ""), ("启动.bat", "set LIPSYNC_LANG=zh_CN\n")):
        (folder / name).write_bytes(_text(START.format(language=language).splitlines()))
    for name, text in (("README.txt", README), ("说明.txt", README_ZH)):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + _text(text.splitlines()))


def _text(lines: Iterable[str]) -> bytes:
    """As Windows ends lines."""
    return "".join(f"{line}\r\n" for line in lines).encode()


def _place_in(python: Path, name: str) -> Path | None:
    """Where a file of a wheel goes; None: it is not needed."""
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".data"):
        if parts[1] in ("purelib", "platlib"):
            return python.joinpath("Lib", "site-packages", *parts[2:])
        # Commands of packages hold the path of a Python of another computer.
        return python.joinpath(*parts[2:]) if parts[1] == "data" else None
    return None if LEFT_OUT.fullmatch(name) else python.joinpath("Lib", "site-packages", *parts)


def extract(archive: Path, place: Callable[[str], Path | None]) -> None:
    """Unpack a zip.

    Args:
        place: gets the name of each file, and returns where it goes; None: nowhere.

    Raises:
        LipSyncError: a name leads out of the archive, or it is damaged.
    """
    try:
        with ZipFile(archive) as opened:
            for info in opened.infolist():
                parts = PurePosixPath(info.filename.replace("\\", "/")).parts
                if info.filename.startswith("/") or ".." in parts or ":" in info.filename:
                    raise BadZipFile(info.filename)
                target = None if info.is_dir() else place(info.filename)
                if target is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(info) as source, open(target, "wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
    except BadZipFile as error:
        raise LipSyncError(
            tr("{path} is not a usable archive ({why})", path=archive, why=error)
        ) from None


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, in order."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def write_zip(folder: Path, path: Path) -> None:
    """Pack a folder, under its name."""
    with written_atomically(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
        for file in files_in(folder):
            archive.write(file, (Path(folder.name) / file.relative_to(folder)).as_posix())


# ---------------------------------------------------------------------------- the command


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Make a folder for Windows with Python, all packages and the page."),
        "python tools/portable_windows.py --output dist/lipsync-windows --zip",
        settings=False,
    )
    parser.add_argument("--output", type=Path, required=True, help=tr("the new folder"))
    parser.add_argument(
        "--python", type=Path, metavar="ZIP",
        help=tr("an embeddable Python of python.org (python-3.11.9-embed-amd64.zip)"),
    )  # fmt: skip
    parser.add_argument("--python-url", default=PYTHON_URL, metavar="URL",
                        help=tr("without --python: where it is downloaded (default: {url})",
                                url=PYTHON_URL))  # fmt: skip
    parser.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help=tr("where downloaded packages are kept for the next time"),
    )
    parser.add_argument("--zip", action="store_true", help=tr("also pack it: OUTPUT.zip"))
    return parser.parse_args()


def main() -> None:
    """Make the folder, whole or not at all."""
    args = parse_arguments()
    output = Path(os.path.abspath(args.output))
    packed = output.with_name(f"{output.name}.zip")
    for path in (output, *([packed] if args.zip else [])):
        if os.path.lexists(path):
            raise OutputError(tr("{path} exists: choose another name, or remove it", path=path))
        check_writable(path)
    if args.python and not args.python.is_file():
        raise MissingFileError(tr("file not found: {path}", path=args.python))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lipsync-", dir=output.parent) as temporary:
        archive = args.python or download(args.python_url, Path(temporary, "python.zip"))
        version = python_version(archive)
        wheels = (args.wheels or Path(temporary, "wheels")) / version
        wheels.mkdir(parents=True, exist_ok=True)
        found = find_wheels(wheels, version)
        folder = Path(temporary, output.name)
        folder.mkdir()
        make_folder(folder, archive, found)
        os.replace(folder, output)
    megabytes = sum(path.stat().st_size for path in files_in(output)) / 1e6
    longest = max(len(str(path.relative_to(output))) for path in files_in(output))
    print(tr("{path}: {n} packages, {mb:.0f} MB; unpack it into a folder of at most {length} "
             "characters", path=output, n=len(found), mb=megabytes,
             length=LONGEST_PATH - longest - 1))  # fmt: skip
    if args.zip:
        write_zip(output, packed)
        print(f"{packed}: {packed.stat().st_size / 1e6:.0f} MB")


def download(url: str, path: Path) -> Path:
    """Fetch a file.

    Raises:
        LipSyncError: it cannot be had.
    """
    try:
        with urlopen(url) as source, open(path, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except (URLError, ValueError, OSError) as error:
        why = getattr(error, "reason", error)
        raise LipSyncError(
            tr("cannot download {url} ({why}): give the file with --python", url=url, why=why)
        ) from None
    return path


def find_wheels(folder: Path, version: str) -> list[Path]:
    """All wheels of the page, downloaded into a folder."""
    lock = read_lock((ROOT / LOCK).read_text(encoding="utf-8")) | read_lock(WINDOWS_LOCK)
    roots = [*read_requirements(ROOT / name for name in LISTS),
             *map(Requirement, read_lock(WINDOWS_LOCK))]  # fmt: skip
    packages = Packages(lock, windows_markers(version), PipDownload(folder, version))
    return list(packages.wheels(roots).values())


if __name__ == "__main__":
    run(main)
