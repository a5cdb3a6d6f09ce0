"""The network: what ``models`` holds, under the name that guides use."""

from .models.sync_model import SyncModel

__all__ = ["SyncModel"]
