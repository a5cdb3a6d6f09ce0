"""Which of several tracks and channels of a file are used."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StreamChoice:
    """Which streams of a file are used: numbers among those of their kind, from 1.

    Attributes:
        video, audio: None: the default one (``find_video_stream``, ``find_audio_stream``).
        channel: the only channel of the audio that is used; None: the mean of all.
    """

    video: int | None = None
    audio: int | None = None
    channel: int | None = None

    def of_video(self) -> "StreamChoice":
        """For a video whose audio is a file of its own."""
        return StreamChoice(video=self.video)

    def of_audio(self) -> "StreamChoice":
        """For audio that is a file of its own."""
        return replace(self, video=None)

    @classmethod
    def of_pair(cls, details: dict) -> tuple["StreamChoice", "StreamChoice"]:
        """The streams of the video and of the audio that a result is of.

        Args:
            details: what ``LipSyncInference.compute_sync_score`` returned.
        """
        names = ("video_stream", "audio_stream", "audio_channel")
        streams = cls(*(details.get(name) for name in names))
        if details["audio"] == details["video"]:
            return streams, streams
        return streams.of_video(), streams.of_audio()


DEFAULT_STREAMS = StreamChoice()
