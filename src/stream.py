"""LipSyncStream: score live video and audio as they arrive (see ``live/stream.py``)."""

from .live.stream import LipSyncStream, LiveEstimate, LiveResult

__all__ = ["LipSyncStream", "LiveEstimate", "LiveResult"]
