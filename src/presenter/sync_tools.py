"""What the presenter needs of the engine: the sync model and how clips are prepared for it."""

from dataclasses import dataclass

from ..core.config import DataConfig
from ..faces.detection import Detector
from ..models.sync_model import SyncModel


@dataclass(frozen=True)
class SyncTools:
    """A loaded sync model with its settings.

    Attributes:
        model: on its device.
        calibration: of its checkpoint.
        data: the ``data`` section it was trained with.
        detector: of faces.
        max_offset_hops: search range of offsets, ± so many hops of 10 ms.
        min_probability: an offset less likely correct is undetermined.
        file, sha256: of the checkpoint.
    """

    model: SyncModel
    calibration: dict
    data: DataConfig
    detector: Detector
    max_offset_hops: int
    min_probability: float
    file: str
    sha256: str
