"""What computes embeddings: PyTorch, or ONNX Runtime.

Scoring is the same for both and does not import PyTorch.
"""

from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from . import onnx_embedding
from .onnx_embedding import OnnxModel

if TYPE_CHECKING:
    from .sync_model import SyncModel

Network: TypeAlias = "SyncModel | OnnxModel"


def embedding_of(model: Network) -> ModuleType:
    """The module that embeds with a network: ``embedding``, or for encoders in ONNX
    ``onnx_embedding``, which has those of its functions that scoring uses."""
    if isinstance(model, OnnxModel):
        return onnx_embedding
    from . import embedding  # imports PyTorch, which takes seconds or is not installed

    return embedding
