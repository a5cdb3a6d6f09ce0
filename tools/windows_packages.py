"""Wheels for Windows of packages and of all that they need, with the versions of a lock, on any
system: pip would answer for the system it runs on.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from src.core.errors import LipSyncError
from src.i18n.messages import tr

LOCK = "requirements.lock"


@dataclass(frozen=True)
class Pin:
    """A line of a lock: a version of a package, and the hashes of its files."""

    version: str
    marker: Marker | None
    hashes: tuple[str, ...]


def read_lock(text: str) -> dict[str, list[Pin]]:
    """The versions of each package that a lock holds, by canonical name."""
    pins = defaultdict(list)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            name, _, rest = requirement.partition("==")
            version, _, marker = rest.partition(";")
            pins[canonicalize_name(name.strip())].append(
                Pin(version.strip(), Marker(marker) if marker else None,
                    tuple(text.strip() for text in hashes))
            )  # fmt: skip
    return dict(pins)


def windows_markers(python: str) -> dict[str, str]:
    """What environment markers ask for, on Windows.

    Args:
        python: such as ``3.11``.
    """
    return {
        "implementation_name": "cpython", "implementation_version": f"{python}.9", "os_name": "nt",
        "platform_machine": "AMD64", "platform_python_implementation": "CPython",
        "platform_release": "10", "platform_system": "Windows", "platform_version": "10.0.19045",
        "python_full_version": f"{python}.9", "python_version": python, "sys_platform": "win32",
        "extra": "",
    }  # fmt: skip


class Packages:
    """The packages that others need, with the versions of a lock.

    Args:
        pins: of ``read_lock``.
        markers: of the system that they are for.
        fetch: gets pins by name and returns the wheel of each.
    """

    def __init__(
        self,
        pins: dict[str, list[Pin]],
        markers: dict[str, str],
        fetch: Callable[[dict[str, Pin]], dict[str, Path]],
    ):
        self._pins, self._markers, self._fetch = pins, markers, fetch

    def wheels(self, roots: Iterable[Requirement]) -> dict[str, Path]:
        """The wheels of these packages and of all that they need, by name.

        Raises:
            LipSyncError: the lock lacks one, or there is no wheel of it.
        """
        wheels: dict[str, Path] = {}
        extras: dict[str, set[str]] = {}
        waiting = self._needed(roots, {""})
        while waiting:
            pins = {name: self._pin(name) for name in sorted(waiting) if name not in wheels}
            wheels |= self._fetch(pins) if pins else {}
            needed: dict[str, set[str]] = defaultdict(set)
            for name, wanted in waiting.items():
                extras.setdefault(name, set()).update(wanted)
                for other, more in self._needed(requires(wheels[name]), {"", *wanted}).items():
                    needed[other] |= more
            waiting = {name: more for name, more in needed.items()
                       if name not in wheels or more - extras.get(name, set())}  # fmt: skip
        return wheels

    def _needed(self, requirements: Iterable[Requirement], extras: set[str]) -> dict[str, set[str]]:
        needed: dict[str, set[str]] = defaultdict(set)
        for requirement in requirements:
            marker = requirement.marker
            if marker is None or any(
                marker.evaluate(self._markers | {"extra": extra}) for extra in extras
            ):
                needed[canonicalize_name(requirement.name)] |= requirement.extras
        return needed

    def _pin(self, name: str) -> Pin:
        for pin in self._pins.get(name, []):
            if pin.marker is None or pin.marker.evaluate(self._markers):
                return pin
        raise LipSyncError(
            tr("{lock} lacks {name}: make it again (its first lines say how)", lock=LOCK, name=name)
        )


def requires(wheel: Path) -> list[Requirement]:
    """What a wheel says to need."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist()
                   if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]  # fmt: skip
        metadata = message_from_string(archive.read(name).decode())
    return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]


def read_requirements(paths: Iterable[Path]) -> list[Requirement]:
    """The packages that lists of requirements name."""
    lines = [line.partition("#")[0].strip() for path in paths
             for line in path.read_text(encoding="utf-8").splitlines()]  # fmt: skip
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


class PipDownload:
    """Gets wheels for Windows with pip; a package without any is built where that needs no
    compiler.

    Args:
        folder: where they go; those that are there already are not downloaded again.
        python: such as ``3.11``.
    """

    def __init__(self, folder: Path, python: str):
        self._folder, self._python = folder, python

    def __call__(self, pins: dict[str, Pin]) -> dict[str, Path]:
        """The wheel of each.

        Raises:
            LipSyncError: there is none for Windows; names all such packages.
        """
        if not self._download(pins):
            failed = {name: pin for name, pin in pins.items()
                      if not self._download({name: pin})}  # fmt: skip
            missing = [f"{name}=={pin.version}" for name, pin in failed.items()
                       if not self._build(name, pin)]  # fmt: skip
            if missing:
                raise LipSyncError(
                    tr("no wheel for Windows with Python {version} of {names}: is there a "
                       "connection?", version=self._python, names=", ".join(missing))
                )  # fmt: skip
        return {name: self._wheel_of(name, pin.version) for name, pin in pins.items()}

    def _download(self, pins: dict[str, Pin]) -> bool:
        return self._pip(
            pins, "download", "--dest", str(self._folder), "--only-binary", ":all:",
            "--platform", "win_amd64", "--python-version", self._python, "--implementation", "cp",
        )  # fmt: skip

    def _build(self, name: str, pin: Pin) -> bool:
        """Build a package from its source; only of one without compiled parts."""
        with tempfile.TemporaryDirectory(prefix="lipsync-") as folder:
            if not self._pip({name: pin}, "wheel", "--wheel-dir", folder, "--no-binary", name):
                return False
            (wheel,) = Path(folder).glob("*.whl")
            if not wheel.stem.endswith("-none-any"):
                return False
            shutil.move(wheel, self._folder / wheel.name)
        return True

    def _pip(self, pins: dict[str, Pin], command: str, *options: str) -> bool:
        lines = [" ".join([f"{name}=={pin.version}", *(f"--hash={text}" for text in pin.hashes)])
                 for name, pin in pins.items()]  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="lipsync-") as folder:
            path = Path(folder, "requirements.txt")
            path.write_text("\n".join(lines), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-m", "pip", command, "--disable-pip-version-check", "-q",
                 "--no-deps", "--require-hashes", *options, "-r", str(path)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return done.returncode == 0

    def _wheel_of(self, name: str, version: str) -> Path:
        wheels = {tuple(path.name.split("-")[:2]): path for path in self._folder.glob("*.whl")}
        return next(path for (named, found), path in wheels.items()
                    if canonicalize_name(named) == name and found == version)  # fmt: skip
