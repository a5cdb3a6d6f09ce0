"""What has arrived of a live stream, and waits to be measured: bounded on any machine."""

import threading
from collections import deque

VIDEO, AUDIO, SKIPPED, END = "video", "audio", "skipped", "end"
MAX_FRAMES = 12  # about half a second
MAX_AUDIO_S = 5.0
MAX_WAITING = 1000  # messages, however small

Message = tuple[str, float, bytes]  # kind, time in s, content


class LiveBuffer:
    """Passes frames and audio on in the order of their arrival; may be used by several threads.

    Where many frames wait, new ones are dropped: those that are measured stay evenly spread. Where
    too much audio waits all the same, everything that waits is dropped, and ``SKIPPED`` says so:
    what follows is up to date again.

    Args:
        audio_bytes_per_s: of the audio that arrives.

    Attributes:
        n_dropped: frames, so far.
    """

    def __init__(self, audio_bytes_per_s: int):
        self.n_dropped = 0
        self._waiting: deque[Message] = deque()
        self._max_audio_bytes = MAX_AUDIO_S * audio_bytes_per_s
        self._n_frames = self._n_audio_bytes = 0
        self._has_ended = self._is_closed = False
        self._changed = threading.Condition()

    def put_frame(self, time_s: float, jpeg: bytes) -> None:
        """A frame has arrived."""
        with self._changed:
            if self._has_ended:
                return
            if self._n_frames >= MAX_FRAMES:
                self.n_dropped += 1
                return
            self._n_frames += 1
            self._put((VIDEO, time_s, jpeg))

    def put_audio(self, time_s: float, samples: bytes) -> None:
        """Audio has arrived; the time is that of its first sample."""
        with self._changed:
            if self._has_ended:
                return
            n_bytes = self._n_audio_bytes + len(samples)
            if n_bytes > self._max_audio_bytes or len(self._waiting) >= MAX_WAITING:
                self.n_dropped += self._n_frames
                self._n_frames = self._n_audio_bytes = 0
                self._waiting.clear()
                self._put((SKIPPED, time_s, b""))
            self._n_audio_bytes += len(samples)
            self._put((AUDIO, time_s, samples))

    def end(self) -> None:
        """Nothing follows: what arrives all the same is left out."""
        with self._changed:
            self._put((END, 0.0, b""))
            self._has_ended = True

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def get(self) -> Message | None:
        """Wait for the next; None: it is closed."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return None
            kind, _, content = message = self._waiting.popleft()
            self._n_frames -= kind == VIDEO
            self._n_audio_bytes -= len(content) if kind == AUDIO else 0
            return message

    def _put(self, message: Message) -> None:
        if not self._has_ended and not self._is_closed:
            self._waiting.append(message)
            self._changed.notify()
