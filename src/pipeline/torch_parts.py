"""What needs PyTorch, imported when it is used: on a CPU, scoring runs without it.

The only module beside ``models.backend`` that imports others of this project inside functions.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.exported import ExportedModel
from ..core.config import Config
from ..core.device import choose_device
from ..core.errors import ConfigError
from ..core.progress import Progress
from ..i18n.messages import tr

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import TrainedModel
    from .new_speech import Engine


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


def check_torch() -> None:
    """Raise ConfigError where it is not."""
    if not has_torch():
        raise ConfigError(tr("PyTorch is not installed: pip install -r requirements.txt"))


def load_trained(path: Path, settings: Config | None, device: str) -> "TrainedModel":
    """As ``checkpoint.load_trained``, on the device of that name and with folded batch norms.

    Raises:
        ConfigError: PyTorch is not installed, or there is no such device.
    """
    check_torch()
    import torch

    from ..checkpoints import checkpoint
    from ..models.folded_norms import fold_batch_norms

    trained = checkpoint.load_trained(path, torch.device("cpu"), settings)
    fold_batch_norms(trained.model)
    trained.model.to(choose_device(device))
    return trained


def to_torch(model: ExportedModel, path: Path) -> "TrainedModel":
    """The model of a checkpoint that was read without PyTorch, as ``load_trained`` gives it, on the
    CPU.

    Args:
        path: where it was read.

    Raises:
        ConfigError: PyTorch is not installed.
    """
    check_torch()
    import torch

    from ..checkpoints import checkpoint
    from ..models.folded_norms import fold_batch_norms

    weights = {name: torch.tensor(values) for name, values in model.weights.items()}
    trained = checkpoint.make_trained(
        weights, model.config, model.calibration, model.sha256, path, torch.device("cpu")
    )
    fold_batch_norms(trained.model)
    return trained


def present(engine: "Engine", paths: dict, options: dict, progress: Progress) -> tuple[str, dict]:
    """A new speech: (message, figures) of ``LipSyncInference.present``.

    Args:
        paths: ``audio``, ``output``, ``base``, ``presenter``, ``footage`` of ``NewSpeech``.
        options: its other fields; ``credentials`` is a bool.
    """
    check_torch()
    from .new_speech import Credentials, NewSpeech, make_new_speech
    from .new_speech_views import describe

    credentials = Credentials(options.pop("credentials"))
    made = make_new_speech(engine, NewSpeech(**paths, **options, credentials=credentials), progress)
    return "; ".join(describe(made)), made.model_dump() | {"closeness": made.closeness}
