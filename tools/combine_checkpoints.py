"""CLI: combines several checkpoints into one.

``mean``: the mean of their weights (model soup, Wortsman et al. 2022). Trainings initialised from
the same checkpoint, with other augmentation or another seed, end in the same loss basin: their mean
is at least as good as each, often better on unseen data, and costs no more than one.
``members``: an ensemble that averages their similarities (deep ensembles, Lakshminarayanan et al.
2017). For trainings from different initial weights, whose errors differ; it costs as much as all
of them together.

The combined network is measured and its score calibrated on the validation samples, as after an
epoch of training, and printed below the checkpoints it was made from.
"""

import sys
from dataclasses import replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.core.errors import CheckpointError, OutputError
from src.i18n.messages import tr


def average_weights(networks: list[dict]) -> dict:
    """The mean of the weights of networks; counters are those of the first."""
    import torch

    return {
        name: torch.stack([weights[name].double() for weights in networks]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in networks[0].items()
    }


def combine(
    paths: list[Path], index_path: Path, method: str
) -> tuple[dict, list[tuple[str, object]]]:
    """Combine checkpoints into one, and measure each and the result.

    Args:
        index_path: the index of their training, of the first one's where they differ.
        method: ``mean`` or ``members``.

    Returns:
        (checkpoint without training state, [(name, ``training.loop.EpochResult``)]).

    Raises:
        MissingFileError, CheckpointError, DatasetError: also where their networks differ, or they
            were trained on validation clips of the first one, or it on others than the index holds.
    """
    from src.checkpoints.checkpoint import load_checkpoint, load_weights
    from src.checkpoints.contents import stored_config, strip_training_state
    from src.core.device import choose_device
    from src.models.ensemble import merge_into_ensemble
    from src.training.loop import evaluate_epoch
    from src.training.state import AverageMeter, new_model, new_state
    from src.training.verification import load_original_splits

    checkpoints = [load_checkpoint(path) for path in paths]
    configs = [
        stored_config(checkpoint, path) for checkpoint, path in zip(checkpoints, paths, strict=True)
    ]
    train, val, held_out = load_original_splits(checkpoints[0], configs[0], index_path)
    reference = index_of_reference(configs)
    for path, checkpoint, config in zip(paths, checkpoints, configs, strict=True):
        check_same_network(config, configs[reference], method, path, paths[reference])
        check_held_out(checkpoint, checkpoints[0], [*val, *held_out], path)
    networks = [checkpoint["model_state_dict"] for checkpoint in checkpoints]
    if method == "mean":
        combined, combined_name = average_weights(networks), tr("mean")
    else:
        combined, combined_name = merge_into_ensemble(networks), tr("ensemble")
    networks.append(combined)
    configs.append(combined_config(configs, method))
    names = [*map(str, paths), combined_name]
    results = []
    for name, config, weights in zip(names, configs, networks, strict=True):
        model = new_model(config, choose_device("auto"))
        load_weights(model, weights, name)
        state = new_state(config, model, train, val)
        results.append((name, evaluate_epoch(state, AverageMeter())))
    result = results[-1][1]
    state.epoch = max(checkpoint["epoch"] for checkpoint in checkpoints)
    state.step = max(checkpoint["step"] for checkpoint in checkpoints)
    state.val_loss = state.best_val_loss = result.val.mean_loss
    state.best_val_acc, state.zero_ms = result.val.accuracy, result.zero_ms
    state.calibration, state.splits_digest = result.calibration, checkpoints[0]["clips"]
    state.trained_on = sorted({
        fingerprint for checkpoint in checkpoints for fingerprint in checkpoint["trained_on"]
    })  # fmt: skip
    return strip_training_state(state.checkpoint(), paths[0]), results


def combined_config(configs: list, method: str):
    """The settings of the combined network: those of the first, with all members."""
    from src.models.spec import ModelSpec, join_members

    model_settings = configs[index_of_reference(configs)].model
    if method == "members":
        members = [spec for config in configs for spec in ModelSpec.of(config).member_specs]
        ensemble = {
            "members": len(members),
            "view": join_members([member.view for member in members]),
            "temporal": join_members([member.temporal for member in members]),
        }
        model_settings = model_settings.model_copy(update=ensemble)
    return configs[0].model_copy(update={"model": model_settings})


def index_of_reference(configs: list) -> int:
    """The first network whose temporal block has a width, with which the others must agree; the
    first one where none has."""
    from src.models.spec import ModelSpec

    with_block = (i for i, config in enumerate(configs) if not ModelSpec.of(config).has_no_block)
    return next(with_block, 0)


def check_same_network(config, reference, method: str, path: Path, reference_path: Path) -> None:
    """Check that a network can be combined with another one.

    Raises:
        CheckpointError: it has another shape.
    """
    from src.models.spec import BLOCK_SETTINGS, ModelSpec

    ignored = {"dropout": 0.0}
    if method == "members":
        ignored |= {"members": 1, "view": "lower_face", "temporal": "none"}
    if ModelSpec.of(config).has_no_block:
        ignored |= dict.fromkeys(BLOCK_SETTINGS, 0)
    spec, expected = (replace(ModelSpec.of(c), **ignored) for c in (config, reference))
    if spec != expected:
        raise CheckpointError(
            tr("the network in {path} differs from that in {other}",
               path=path, other=reference_path)
        )  # fmt: skip


def check_held_out(checkpoint: dict, first: dict, held_out: list, path: Path) -> None:
    """Check that a checkpoint was not trained on validation or test clips of the first one: its
    clips are those of the first one, or others of the same speakers, such as copies.

    Raises:
        CheckpointError: it was.
    """
    if checkpoint.get("clips") == first.get("clips"):
        return
    trained_on = set(checkpoint["trained_on"])
    if not trained_on or any(sample.fingerprint in trained_on for sample in held_out):
        raise CheckpointError(
            tr("{path} was trained on other clips than the first one, or on another split of them, "
               "so that training clips would become test clips", path=path)
        )  # fmt: skip


def main() -> int:
    parser = make_parser(
        tr("Combine several checkpoints into one: the mean of their weights, or an ensemble."),
        "python tools/combine_checkpoints.py one/best_model.pth other/best_model.pth "
        "--as members --index data/processed/dataset_index.pkl -o checkpoints/both.pth",
        settings=False,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="CKPT", help=tr("two or more"))
    parser.add_argument(
        "--as", dest="method", choices=("mean", "members"), required=True,
        help=tr("mean: for trainings initialised from the same checkpoint; members: an ensemble"),
    )  # fmt: skip
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument("-o", "--output", type=Path, required=True, help=tr("the new file"))
    args = parser.parse_args()
    if len(args.paths) < 2:
        parser.error(tr("two or more checkpoints are required"))
    inputs = [path for path in args.paths if path.exists()]
    if args.output.exists() and any(args.output.samefile(path) for path in inputs):
        raise OutputError(
            tr("the output {path} is an input: choose another name", path=args.output)
        )
    from src.checkpoints.checkpoint import save_checkpoint

    checkpoint, results = combine(args.paths, args.index, args.method)
    save_checkpoint(args.output, checkpoint)
    print(f"{'':34s} {'val_loss':>9s} {'val_acc':>8s} {'K = 5':>7s} {'K = 15':>7s}")
    for name, result in results:
        accuracies = " ".join(f"{result.report.accuracy_at[n]:7.1%}" for n in (5, 15))
        print(f"{name:34s} {result.val.mean_loss:9.4f} {result.val.accuracy:8.1%} {accuracies}")
    print(tr("saved: {path}", path=args.output))
    return 0


if __name__ == "__main__":
    run(main)
