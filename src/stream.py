"""LipSyncStream: score live video and audio as they arrive (see ``live/stream.py``)."""

from .live.stream import LipSyncStream, LiveResult, Reading

__all__ = ["LipSyncStream", "LiveResult", "Reading"]
