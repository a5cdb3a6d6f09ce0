"""Files at a URL (``s3://bucket/videos``, what fsspec knows), by their names."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from ..core.storage import join, versions_below


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL.

    Attributes:
        url: where it is.
        version: changes with its content: its size, and its ETag or when it was written.
    """

    url: str
    version: str

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.url).name

    @property
    def stem(self) -> str:
        """Its name without the ending."""
        return PurePosixPath(self.url).stem

    @property
    def suffix(self) -> str:
        """The ending of its name, with the dot."""
        return PurePosixPath(self.url).suffix

    def __str__(self) -> str:
        return self.url


def remote_files(place: str) -> dict[PurePosixPath, RemoteFile]:
    """All files below a URL, by their paths relative to it, in order; hidden ones are left out.

    Raises:
        ConfigError: nothing is installed that knows such URLs.
        StorageError: it cannot be read.
    """
    versions = versions_below(place)
    paths = sorted(map(PurePosixPath, versions))
    return {
        path: RemoteFile(join(place, str(path)), versions[str(path)])
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    }
