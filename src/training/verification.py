"""Whether a checkpoint is sound: what is in it, whether it runs, whether its figures are true."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..checkpoints.checkpoint import config_of, load_checkpoint
from ..checkpoints.file_format import tensors_of
from ..core.config import Config
from ..core.constants import WINDOW_FRAMES
from ..core.errors import CheckpointError
from ..dataset.samples import Sample, load_samples
from ..dataset.splits import split_samples
from ..evaluation.measure import measure_evidence
from ..evaluation.metrics import OffsetReport, offset_report
from ..i18n.messages import tr
from ..models.spec import ModelSize
from ..models.sync_model import SyncModel, count_parameters, made_input
from ..scoring.calibration import N_FEATURES
from ..scoring.evidence import SEARCH_REACH
from .loop import TEST_LENGTHS, splits_digest, validate
from .state import AverageMeter, new_state

MADE_FRAMES = 20  # of the input a network is tried on
LOSS_TOLERANCE = 0.01  # other machines round otherwise


@dataclass
class Findings:
    """What was found out about a checkpoint.

    Attributes:
        facts: (name, value) in the order they are told.
        problems: what is wrong with it, a sentence each.
    """

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect(path: Path) -> tuple[Findings, dict, SyncModel | None]:
    """Look into a checkpoint, without an index.

    Returns:
        (findings, its content, its model; None where the weights make none).

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it cannot be read; NotACheckpointError: it is something else.
    """
    content = load_checkpoint(path)
    config = config_of(content, path)
    found = Findings()
    found.facts += _facts(path, content, config)
    weights = content["model_state_dict"]
    with torch.device("meta"):  # without memory: what the settings claim may be huge
        model = SyncModel(ModelSize.of(config))
    expected = model.state_dict()
    for sentence, names in (
        (tr("weights are missing: {names}"), expected.keys() - weights.keys()),
        (tr("weights that no part of the network has: {names}"), weights.keys() - expected.keys()),
        (tr("weights of another shape: {names}"), {
            name for name in expected.keys() & weights.keys()
            if getattr(weights[name], "shape", None) != expected[name].shape
        }),
        (tr("weights that are not finite: {names}"), {
            name for name, value in weights.items()
            if torch.is_tensor(value) and not torch.isfinite(value.float()).all()
        }),
    ):  # fmt: skip
        if names:
            found.problems.append(sentence.format(names=_some(names)))
    found.problems += _calibration_problems(content["calibration"])
    if found.problems:
        return found, content, None
    model.load_state_dict(weights, assign=True)
    model.float().eval()
    found.facts.append((tr("parameters"), f"{count_parameters(model):,}"))
    problem = _trial(model)
    if problem:
        found.problems.append(problem)
    else:
        found.facts.append((tr("tried on made input"), tr("embeddings of length 1, finite")))
    return found, content, model


def _facts(path: Path, content: dict, config: Config) -> list[tuple[str, str]]:
    tensors = sum(tensor.untyped_storage().nbytes() for tensor in tensors_of(content))
    whole = "optimizer_state_dict" in content
    kind = tr("whole: training can go on") if whole else tr("for inference: without optimizer")
    model, size, training = config.model, config.data.input_size, config.training
    return [
        (tr("file"), f"{path} ({path.stat().st_size / 1e6:.1f} MB)"),
        (tr("format"), f"{content['format']} {content['format_version']}, {kind}"),
        (tr("written with"), ", ".join(f"{k} {v}" for k, v in content["versions"].items())),
        (tr("tensors"), f"{tensors / 1e6:.1f} MB"),
        (tr("epoch"), f"{content['epoch']} ({tr('step')} {content['step']})"),
        ("val_loss", _number(content.get("val_loss"))),
        ("best_val_acc", _number(content.get("best_val_acc"))),
        (tr("zero"), f"{_number(content.get('zero_ms'))} ms"),
        (tr("network"), f"input {size}, embedding {model.embedding_dim}, hidden "
                        f"{model.hidden_dim} × {model.num_layers}, dropout {model.dropout}"
                        + f", members {model.members}, view {model.view}"),
        (tr("training"), f"batch {training.batch_size} × {training.clip_frames}, rate "
                         f"{training.learning_rate}, epochs {training.num_epochs}, "
                         f"split by {training.split_by}, seed {training.split_seed}"),
    ]  # fmt: skip


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "–"


def _some(names: set[str]) -> str:
    """A few names, and how many more there are."""
    listed = sorted(names)
    more = f", … ({len(listed)})" if len(listed) > 5 else ""
    return ", ".join(listed[:5]) + more


def _calibration_problems(calibration: dict) -> list[str]:
    problems = []
    for name in ("score", "peak"):
        fitted = calibration[name]
        try:
            numbers = [*fitted["mean"], *fitted["scale"], *fitted["weights"], fitted["bias"]]
            sound = len(numbers) == 3 * N_FEATURES + 1 and all(math.isfinite(n) for n in numbers)
        except (KeyError, TypeError):
            sound = False
        if not sound:
            problems.append(tr("the calibration of {name} is no calibration", name=name))
    return problems


@torch.inference_mode()
def _trial(model: SyncModel) -> str | None:
    """What goes wrong when the network runs; None where nothing does."""
    for stream in model(*made_input(model.size, MADE_FRAMES)):
        if stream.shape != (1, MADE_FRAMES - WINDOW_FRAMES + 1, model.size.length):
            return tr("the network gives embeddings of a wrong shape")
        if not torch.allclose(stream.norm(dim=-1), torch.ones(()), atol=1e-3):
            return tr("the network gives embeddings that are not of length 1")
    return None


@dataclass
class Figures:
    """Validation figures of a checkpoint, as its training would measure them."""

    val: AverageMeter
    report: OffsetReport


def training_samples(
    content: dict, config: Config, index: Path
) -> tuple[list[Sample], list[Sample]]:
    """The samples of an index that were this training's training and validation samples.

    Raises:
        DatasetError: the index cannot be used.
        CheckpointError: it holds other clips than the training had.
    """
    samples = load_samples(index, config.data, config.training.split_by)
    parts = split_samples(samples, config.training)
    if content.get("clips") != splits_digest(*parts):
        raise CheckpointError(
            tr("{index} holds other clips than the training had, or other splits of them: its "
               "figures cannot be compared", index=index)
        )  # fmt: skip
    return parts[0], parts[1]


def figures_of(model: SyncModel, config: Config, val: list[Sample]) -> Figures:
    """Measure a network on validation samples."""
    state = new_state(config, model, [], val)
    seen = measure_evidence(model.eval(), val, SEARCH_REACH)
    return Figures(validate(state), offset_report(seen, TEST_LENGTHS))


def compare_figures(content: dict, figures: Figures) -> list[str]:
    """Where a checkpoint's stored figures are not those measured, a sentence each."""
    if content["sampler"].get("batch"):
        return []  # made in the middle of an epoch: its figures are those of the one before
    stored, loss = content.get("val_loss"), figures.val.mean_loss
    if not isinstance(stored, (int, float)):
        return [tr("no val_loss is stored")]
    if math.isclose(stored, loss, rel_tol=LOSS_TOLERANCE, abs_tol=LOSS_TOLERANCE):
        return []
    return [
        tr("val_loss is stored as {stored:.4f}, measured as {loss:.4f}", stored=stored, loss=loss)
    ]
