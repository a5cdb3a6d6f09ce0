"""Verifying a checkpoint: its content, a trial run, and its validation metrics."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..checkpoints.checkpoint import load_checkpoint
from ..checkpoints.contents import stored_config
from ..checkpoints.onnx_model import load_onnx
from ..checkpoints.safe_file import iter_tensors
from ..core.config import Config
from ..core.constants import WINDOW_FRAMES
from ..core.errors import CheckpointError, MisfitError
from ..dataset.samples import Sample, load_samples
from ..dataset.splits import split_samples
from ..evaluation.measure import measure_evidence
from ..evaluation.metrics import OffsetReport, offset_report
from ..i18n.messages import tr
from ..models.onnx_embedding import AUDIO, VIDEO
from ..models.spec import ModelSpec
from ..models.sync_model import SyncModel, count_parameters, embed_every_hop, example_input
from ..scoring.calibration import invalid_fits
from ..scoring.evidence import SEARCH_REACH
from .loop import TEST_LENGTHS, digest_splits, validate
from .state import AverageMeter, new_state

TRIAL_FRAMES = 20  # of the synthetic input for the trial run
ONNX_TOLERANCE = 1e-4
LOSS_TOLERANCE = 0.01  # machines round differently
MAX_LISTED_NAMES = 5


@dataclass
class CheckpointReport:
    """What a checkpoint holds, and what is wrong with it.

    Attributes:
        facts: (name, value), in the order they are printed.
        problems: one sentence each; none: the checkpoint is valid.
    """

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect_checkpoint(path: Path) -> tuple[CheckpointReport, dict, SyncModel | None]:
    """Check a checkpoint, without an index.

    Returns:
        (report, the checkpoint, its model; None where the weights do not fit).

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it cannot be read; NotACheckpointError: it is something else.
    """
    checkpoint = load_checkpoint(path)
    config = stored_config(checkpoint, path)
    with torch.device("meta"):  # without memory: the settings may claim a huge network
        model = SyncModel(ModelSpec.of(config))
    weights = checkpoint["model_state_dict"]
    report = CheckpointReport(_describe(path, checkpoint, config))
    report.problems += _find_weight_problems(weights, model.state_dict())
    report.problems += _find_calibration_problems(checkpoint["calibration"])
    if report.problems:
        return report, checkpoint, None
    model.load_state_dict(weights, assign=True)
    model.float().eval()
    report.facts.append((tr("parameters"), f"{count_parameters(model):,}"))
    problem = _trial_run_problem(model) or _onnx_problem(path, model)
    if problem:
        report.problems.append(problem)
    else:
        report.facts.append((tr("trial run"), tr("embeddings of length 1, finite")))
    return report, checkpoint, model


def _find_weight_problems(weights: dict, expected: dict) -> list[str]:
    """What is wrong with the names, shapes and values of weights, one sentence each."""
    names_by_problem = {
        tr("missing weights: {names}"): expected.keys() - weights.keys(),
        tr("unknown weights: {names}"): weights.keys() - expected.keys(),
        tr("weights of a wrong shape: {names}"): {
            name for name in expected.keys() & weights.keys()
            if getattr(weights[name], "shape", None) != expected[name].shape
        },
        tr("weights that are not finite: {names}"): {
            name for name, value in weights.items()
            if torch.is_tensor(value) and not torch.isfinite(value.float()).all()
        },
    }  # fmt: skip
    return [
        problem.format(names=_join_some(names))
        for problem, names in names_by_problem.items() if names
    ]  # fmt: skip


def _describe(path: Path, checkpoint: dict, config: Config) -> list[tuple[str, str]]:
    """(name, value) pairs for a person to read."""
    tensor_bytes = sum(tensor.untyped_storage().nbytes() for tensor in iter_tensors(checkpoint))
    has_training_state = "optimizer_state_dict" in checkpoint
    kind = (
        tr("complete: training can resume")
        if has_training_state
        else tr("for inference: without optimizer")
    )
    model, size, training = config.model, config.data.input_size, config.training
    has_no_block = ModelSpec.of(config).has_no_block
    layers = "" if has_no_block else f" {model.hidden_dim} × {model.num_layers}"
    block = model.temporal + layers
    versions = ", ".join(f"{name} {value}" for name, value in checkpoint["versions"].items())
    return [
        (tr("file"), f"{path} ({path.stat().st_size / 1e6:.1f} MB)"),
        (tr("format"), f"{checkpoint['format']} {checkpoint['format_version']}, {kind}"),
        (tr("written with"), versions),
        (tr("tensors"), f"{tensor_bytes / 1e6:.1f} MB"),
        (tr("epoch"), f"{checkpoint['epoch']} ({tr('step')} {checkpoint['step']})"),
        ("val_loss", _format_number(checkpoint.get("val_loss"))),
        ("best_val_acc", _format_number(checkpoint.get("best_val_acc"))),
        (tr("zero reference"), f"{_format_number(checkpoint.get('zero_ms'))} ms"),
        (tr("network"),
         tr("input {size}, embedding {width}, temporal {block}, dropout {dropout}, members "
            "{members}, view {view}", size=size, width=model.embedding_dim, block=block,
            dropout=model.dropout, members=model.members, view=model.view)),
        (tr("training"),
         tr("batch {n} × {frames}, rate {rate}, epochs {epochs}, split by {unit}, seed {seed}",
            n=training.batch_size, frames=training.clip_frames, rate=training.learning_rate,
            epochs=training.num_epochs, unit=training.split_by, seed=training.split_seed)),
    ]  # fmt: skip


def _format_number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "–"


def _join_some(names: set[str]) -> str:
    """The first few names, and their number where there are more."""
    listed = sorted(names)
    suffix = f", … ({len(listed)})" if len(listed) > MAX_LISTED_NAMES else ""
    return ", ".join(listed[:MAX_LISTED_NAMES]) + suffix


def _find_calibration_problems(calibration: dict) -> list[str]:
    """Which parts of a calibration are not complete and finite, one sentence each."""
    return [
        tr("the calibration of {name} is invalid", name=name) for name in invalid_fits(calibration)
    ]


@torch.inference_mode()
def _trial_run_problem(model: SyncModel) -> str | None:
    """What is wrong with the network's output for synthetic input; None: nothing."""
    expected_shape = (1, TRIAL_FRAMES - WINDOW_FRAMES + 1, model.spec.output_dim)
    for embeddings in model(*example_input(model.spec, TRIAL_FRAMES)):
        if embeddings.shape != expected_shape:
            return tr("the network gives embeddings of a wrong shape")
        if not torch.allclose(embeddings.norm(dim=-1), torch.ones(()), atol=1e-3):
            return tr("the network gives embeddings that are not of length 1")
    return None


@torch.inference_mode()
def _onnx_problem(path: Path, model: SyncModel) -> str | None:
    """What is wrong with the embeddings that scoring computes without PyTorch; None: nothing."""
    try:
        exported = load_onnx(path)
    except MisfitError:
        exported = None
    if exported is None:  # PyTorch scores
        return None
    regions, bands = example_input(model.spec, TRIAL_FRAMES)
    pairs = (
        (exported.model.encode(VIDEO, regions[0].numpy()), model.video(regions)),
        (exported.model.encode(AUDIO, bands[0].numpy()), embed_every_hop(model.audio, bands)),
    )
    difference = max(np.abs(own - expected[0].numpy()).max() for own, expected in pairs)
    if difference <= ONNX_TOLERANCE:
        return None
    return tr("scored with ONNX Runtime, embeddings differ from PyTorch's by {difference:.1e}: "
              "src/models/onnx_graph.py has other layers than src/models/sync_model.py; score with "
              "--backend torch", difference=difference)  # fmt: skip


@dataclass
class ValidationMetrics:
    """The validation metrics of a checkpoint, as its training would measure them."""

    val: AverageMeter
    report: OffsetReport


def load_original_splits(
    checkpoint: dict, config: Config, index_path: Path
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """The training, validation and test samples that a checkpoint was trained with.

    Raises:
        DatasetError: the index cannot be used.
        CheckpointError: it holds other clips than the training had.
    """
    samples = load_samples(index_path, config.data, config.training.split_by)
    splits = split_samples(samples, config.training)
    if checkpoint.get("clips") != digest_splits(*splits):
        raise CheckpointError(
            tr("{index} holds other clips than the training used, or splits them differently: the "
               "metrics cannot be compared", index=index_path)
        )  # fmt: skip
    return splits


def measure_validation(model: SyncModel, config: Config, val: list[Sample]) -> ValidationMetrics:
    """Measure a network on validation samples."""
    state = new_state(config, model, [], val)
    evidence = measure_evidence(model.eval(), val, SEARCH_REACH)
    return ValidationMetrics(validate(state), offset_report(evidence, TEST_LENGTHS))


def compare_metrics(checkpoint: dict, metrics: ValidationMetrics) -> list[str]:
    """Where the stored metrics of a checkpoint differ from those measured, one sentence each."""
    if checkpoint["sampler"].get("batch"):
        return []  # saved within an epoch: the stored metrics are those of the epoch before
    stored, loss = checkpoint.get("val_loss"), metrics.val.mean_loss
    if not isinstance(stored, (int, float)):
        return [tr("no val_loss is stored")]
    if math.isclose(stored, loss, rel_tol=LOSS_TOLERANCE, abs_tol=LOSS_TOLERANCE):
        return []
    return [
        tr("val_loss is stored as {stored:.4f}, measured as {loss:.4f}", stored=stored, loss=loss)
    ]
