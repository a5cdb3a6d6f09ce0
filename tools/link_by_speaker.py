"""CLI: link the clips of a table into one folder per speaker, ``source__speaker/clip``.

Collections of clips have folder structures of their own and list their speakers in a table, while
splitting by speaker needs one folder per speaker. Nothing is copied.
"""

import os
import re
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run, settings_of
from src.core.errors import DatasetError, MissingFileError, OutputError
from src.core.files import ensure_folder
from src.dataset.reference import read_table
from src.i18n.counts import clips_of_speakers
from src.i18n.messages import tr


def link_clips(table: Path, root: Path, only: str, folder: Path) -> tuple[int, int]:
    """Link every clip of the table that has a speaker.

    Args:
        table: with the columns ``path`` and ``speaker``.
        root: the folder that its paths are relative to.
        only: clips whose path starts with this.
        folder: where a folder ``source__speaker`` is made per speaker; the source is the folder
            of the clip.

    Returns:
        number of clips, and of speakers.

    Raises:
        MissingFileError, DatasetError: the table, or a clip of it, is missing.
        OutputError: a link cannot be made.
    """
    links: dict[Path, str] = {}
    folders: dict[str, tuple[str, str]] = {}
    for row in read_table(table, "speaker"):
        clip = root / row["path"]
        if not row["path"].startswith(only) or not row["speaker"]:
            continue
        if not clip.is_file():
            raise MissingFileError(tr("file not found: {path}", path=clip))
        speaker = _folder_of((clip.parent.name, row["speaker"]), folders)
        link, target = folder / speaker / clip.name, os.path.abspath(clip)
        if links.get(link, target) != target:  # of another folder of that name
            link = link.with_stem(f"{link.stem}-{len(links)}")
        links[link] = target
    if not links:
        raise DatasetError(tr("{path} has no clips of a named speaker", path=table))
    for link, target in links.items():
        _link(link, target)
    return len(links), len(folders)


def _folder_of(speaker: tuple[str, str], folders: dict[str, tuple[str, str]]) -> str:
    """A unique folder name for (source, speaker), even where names differ in symbols only."""
    source, name = speaker
    letters = re.sub(r"[^\w.-]+", "_", name).strip("_.")
    plain = f"{source}__{letters or 'unnamed'}"
    number, chosen = 1, plain
    while folders.setdefault(chosen, speaker) != speaker:
        number += 1
        chosen = f"{plain}-{number}"
    return chosen


def _link(link: Path, target: str) -> None:
    ensure_folder(link.parent)
    if link.is_symlink() and os.readlink(link) == target:
        return
    if link.is_symlink() or link.exists():
        raise OutputError(
            tr("{path} exists and is another file: remove it, or choose another data.video_dir",
               path=link)
        )  # fmt: skip
    try:
        link.symlink_to(target)
    except OSError as error:
        raise OutputError(tr("cannot link {path}: {why}", path=link, why=error.strerror)) from None


def main() -> int:
    parser = make_parser(
        tr("Link the clips of a table into one folder per speaker, for training split by speaker."),
        "python tools/link_by_speaker.py clips/manifest.tsv --only train/",
    )  # fmt: skip
    parser.add_argument(
        "table", type=Path, help=tr("table of clips with the columns path and speaker")
    )
    parser.add_argument(
        "--root", type=Path, help=tr("folder that the paths are relative to (default: the table's)")
    )
    parser.add_argument("--only", default="", metavar="PREFIX",
                        help=tr("only clips whose path starts with this"))  # fmt: skip
    args = parser.parse_args()
    folder = Path(settings_of(args).data.video_dir)
    n_clips, n_speakers = link_clips(args.table, args.root or args.table.parent, args.only, folder)
    clips = clips_of_speakers(n_clips, n_speakers)
    print(tr("{clips} linked in {folder}", clips=clips, folder=folder))
    return 0


if __name__ == "__main__":
    run(main)
