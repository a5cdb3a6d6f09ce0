"""Create the folders the four steps use; existing ones are left as they are."""

from pathlib import Path

from src.core.cli import run
from src.core.files import ensure_folder
from src.i18n.messages import tr

FOLDERS = ("data/videos", "data/audios", "data/processed", "checkpoints", "logs", "outputs")


def make_folders(root: Path) -> None:
    """Create the folders under ``root`` and print each.

    Raises:
        OutputError: one cannot be created.
    """
    for name in FOLDERS:
        folder = root / name
        existed = folder.is_dir()
        ensure_folder(folder)
        text = tr("exists: {folder}") if existed else tr("created: {folder}")
        print(text.format(folder=name))


def main() -> int:
    make_folders(Path(__file__).resolve().parent)
    return 0


if __name__ == "__main__":
    run(main)
