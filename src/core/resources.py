"""Files that come with the project outside its packages: where they lie in either layout.

In the checkout they lie beside ``src/``, where users know them; ``setup.py`` copies them into the
installed package, below ``lipsync/resources/``.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]  # src/, or the installed lipsync/
_INSTALLED = _PACKAGE / "resources"


def resource_path(name: str) -> Path:
    """The path of a file that comes with the project.

    Args:
        name: relative to the root of the repository, such as ``"config.yaml"``; an installed
            package has those that ``setup.py`` names.
    """
    return (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name
