"""What can go wrong for a user, as exceptions whose text is one readable line.

The commands print that line and exit with status 2 (``cli.run``); the API raises. Each message
says what is wrong, with which file or setting, and what to do about it.
"""


class LipSyncError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(LipSyncError):
    """An unknown key, a wrong type or an impossible value in the settings."""


class MediaError(LipSyncError):
    """A media file that cannot be used."""


class MissingFileError(MediaError):
    """The named file does not exist or is not a file."""


class UnreadableMediaError(MediaError):
    """The file exists, but no decoder can read it."""


class NoVideoError(MediaError):
    """The file has no video stream."""


class NoAudioError(MediaError):
    """The file has no audio stream."""


class SilentAudioError(MediaError):
    """There is an audio stream, but it is silent throughout."""


class NoFaceError(MediaError):
    """No face was detected, or none for long enough to be scored."""


class ClipTooShortError(MediaError):
    """Less video or audio than one window (5 frames, 0.2 s)."""


class DetectorError(LipSyncError):
    """The chosen face detector cannot be started."""


class DatasetError(LipSyncError):
    """The index or the samples cannot be used for training."""


class TrainingError(LipSyncError):
    """The training cannot go on with these settings."""


class CheckpointError(LipSyncError):
    """The file is not a checkpoint of this project, or is damaged."""


class NotACheckpointError(CheckpointError):
    """The file seems intact, but is of another kind."""


class MisfitError(CheckpointError):
    """The weights do not fit the network."""


class PresenterError(LipSyncError):
    """Footage that no presenter can be made of, or a presenter that cannot be used."""


class OutputError(LipSyncError):
    """The result cannot be written to the requested path."""


class InUseError(LipSyncError):
    """Another run works on the same files."""


class StorageError(LipSyncError):
    """A folder or URL that cannot be read.

    Attributes:
        is_missing: there is no such file.
    """

    is_missing = False


class ClusterError(LipSyncError):
    """A cluster that does not answer, or whose workers cannot do the work."""


class StreamError(LipSyncError):
    """Frames or audio that a live stream cannot take."""


class OutOfMemoryError(LipSyncError):
    """The GPU has too little memory for these settings."""
