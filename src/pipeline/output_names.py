"""Names of outputs: an existing file is replaced by its successor from the same input only."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..core.errors import ConfigError, MediaError, OutputError
from ..core.files import real_path
from ..i18n.messages import tr
from ..media.container import check_file
from ..media.source_note import (
    chosen_tracks,
    noted_tracks,
    read_note,
    source_note,
    view_note,
)
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice

Owner = tuple[str, str]  # video and audio as a table of results names them; "" where it names none


@dataclass(frozen=True)
class Source:
    """What an output is made from.

    Attributes:
        video, audio: audio None: the video's own.
        streams: which of their tracks.
    """

    video: str | Path
    audio: str | Path | None
    streams: StreamChoice = DEFAULT_STREAMS

    @cached_property
    def note(self) -> str | None:
        """``source_note``; reads the files when it is first asked for."""
        return source_note(self.video, self.audio, self.streams)

    def note_of(self, view: str | None) -> str | None:
        """The note of a view of the kind; None: of a corrected video."""
        return self.note and (self.note if view is None else view_note(self.note, view))

    def may_replace(self, output: Path) -> bool:
        """Whether a file that a table says to be of this video and audio is not of other tracks of
        theirs. Its note says it; that of other versions of the same files is no obstacle."""
        try:
            tracks = chosen_tracks(self.video, self.audio, self.streams)
        except (MediaError, ConfigError):  # there will be no output
            return False
        note = read_note(output)
        return note is None or noted_tracks(note) == tracks

    @property
    def owner(self) -> Owner:
        """As tables store it: names that are no text are escaped."""
        names = str(self.video), "" if self.audio is None else str(self.audio)
        video, audio = (name.encode(errors="backslashreplace").decode() for name in names)
        return video, audio


def check_not_foreign(output: Path, source: Source, view: str | None = None) -> None:
    """Refuse a name that a file has which was not made from this source, or from other tracks of
    it.

    Args:
        view: which kind of view of the source the output is; None: a corrected video.

    Raises:
        OutputError: it has.
        MediaError: it has, and the source cannot be read.
    """
    if not os.path.lexists(output):
        return
    if source.note is None:
        for path in (source.video, source.audio):
            if path is not None:
                check_file(path)
    if source.note is None or read_note(output) != source.note_of(view):
        raise OutputError(
            tr("{path} exists and was not made from this input: choose another name, or replace it "
               "with --overwrite", path=output)
        )  # fmt: skip


class OutputNames:
    """Chooses names like ``<video name>_synced.mp4``, numbered where a name is in use.

    A source whose output exists gets that name again, whatever else is in the list.

    Args:
        reserved: paths that no output may have: inputs, and other outputs.
        overwrite: files that exist may be replaced.
        recorded: outputs by owner, from a table of earlier results.
    """

    def __init__(
        self,
        reserved: Iterable[str | Path | None] = (),
        overwrite: bool = False,
        recorded: dict[Owner, list[Path]] | None = None,
    ):
        self._taken = {_real_path(path) for path in reserved if path is not None}
        self._overwrite, self._recorded = overwrite, recorded or {}
        self._numbers: dict[Path, int] = {}  # the next one to try, by unnumbered path
        # By folder, unnumbered name, and name.
        self._existing: dict[Path, dict[str, dict[str, Path]]] = {}
        self._noted: dict[Path, dict[str, list[Path]]] = {}  # by unnumbered path and note

    def choose(self, plain: Path, source: Source) -> tuple[Path, bool]:
        """A name for the output of a source.

        Args:
            plain: the path without a number.

        Returns:
            the path, and whether a file of this name may be replaced whatever its note says.
        """
        path, is_replaceable = self._own(plain, source) or (self._free(plain), self._overwrite)
        self._taken.add(_real_path(path))
        return path, is_replaceable

    def _own(self, plain: Path, source: Source) -> tuple[Path, bool] | None:
        """The existing output of the source."""
        existing = self._existing_outputs(plain)
        if not existing:
            return None
        recorded = {path.name for path in self._recorded.get(source.owner, [])
                    if _real_path(path.parent) == _real_path(plain.parent)}  # fmt: skip
        for name in sorted(recorded & existing.keys()):
            path = existing[name]
            if _real_path(path) not in self._taken and source.may_replace(path):
                return path, True
        if plain not in self._noted:
            self._noted[plain] = {}
            for path in existing.values():
                if note := read_note(path):
                    self._noted[plain].setdefault(note, []).append(path)
        if self._noted[plain] and source.note:
            for path in self._noted[plain].get(source.note, []):
                if _real_path(path) not in self._taken:
                    return path, self._overwrite
        return None

    def _existing_outputs(self, plain: Path) -> dict[str, Path]:
        """The files of this name, numbered or not, by their own names."""
        folder = plain.parent
        if folder not in self._existing:
            by_name: dict[str, dict[str, Path]] = {}
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                path = folder / name
                unnumbered = re.sub(r"_\d+$", "", path.stem) + path.suffix
                for key in {name, unnumbered}:
                    by_name.setdefault(key, {})[name] = path
            self._existing[folder] = by_name
        return self._existing[folder].get(plain.name, {})

    def _free(self, plain: Path) -> Path:
        number = self._numbers.get(plain, 1)
        while True:
            path = plain if number == 1 else plain.with_stem(f"{plain.stem}_{number}")
            number += 1
            is_free = self._overwrite or not os.path.lexists(path)
            if is_free and _real_path(path) not in self._taken:
                self._numbers[plain] = number
                return path


def _real_path(path: str | Path) -> str:
    """A path to compare."""
    return os.path.normcase(real_path(path))
