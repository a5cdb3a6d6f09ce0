"""CLI: one checkpoint of several.

``mean``: the mean of their weights (model soup, Wortsman et al. 2022). Trainings that went on from
one checkpoint, with other augmentation or another seed, end in the same valley: their mean is at
least as good as they are, often better on what none of them saw, and costs no more than one.
``members``: side by side, their similarities averaged (deep ensemble, Lakshminarayanan et al.
2017). For trainings from different first weights, whose errors are not the same ones; costs as much
as all of them.

The new network is measured and its score calibrated on the validation samples, as after an epoch of
training, and printed beside what it was made of.
"""

import sys
from dataclasses import replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.core.errors import CheckpointError, OutputError
from src.i18n.messages import tr


def mean_of(weights: list[dict]) -> dict:
    """The mean of networks, tensor by tensor; counters are those of the first."""
    import torch

    return {
        name: torch.stack([one[name].double() for one in weights]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in weights[0].items()
    }


def combine(paths: list[Path], index: Path, how: str) -> tuple[dict, list[tuple[str, object]]]:
    """One checkpoint of several, ready to be saved, and what was measured of each and of it.

    Args:
        index: that of their training.
        how: ``mean`` or ``members``.

    Returns:
        (content without the state of a training, [(name, ``train.Outcome``)]).

    Raises:
        MissingFileError, CheckpointError, DatasetError: also where their networks differ, or they
            were trained on other clips than each other, or than the index holds.
    """
    from src.checkpoints.checkpoint import config_of, for_inference, load_checkpoint, load_weights
    from src.core.device import choose_device
    from src.models.ensemble import combine_members
    from src.models.spec import ModelSize, view_of
    from src.training.loop import evaluate_epoch
    from src.training.state import AverageMeter, new_model, new_state
    from src.training.verification import training_samples

    contents = [load_checkpoint(path) for path in paths]
    configs = [config_of(content, path) for content, path in zip(contents, paths, strict=True)]
    for path, content, config in zip(paths, contents, configs, strict=True):
        see_one_kind(content, config, contents[0], configs[0], how, path)
        train, val = training_samples(content, config, index)
    weights = [content["model_state_dict"] for content in contents]
    one = mean_of(weights) if how == "mean" else combine_members(weights)
    views = [view for config in configs for view in ModelSize.of(config).looked_at]
    model_settings = configs[0].model
    if how == "members":
        several = {"members": len(views), "view": view_of(views)}
        model_settings = model_settings.model_copy(update=several)
    configs.append(configs[0].model_copy(update={"model": model_settings}))
    names = [*map(str, paths), tr("the mean") if how == "mean" else tr("side by side")]
    measured = []
    for name, config, tensors in zip(names, configs, [*weights, one], strict=True):
        model = new_model(config, choose_device("auto"))
        load_weights(model, tensors, name)
        state = new_state(config, model, train, val)
        measured.append((name, evaluate_epoch(state, AverageMeter())))
    outcome = measured[-1][1]
    state.epoch = max(content["epoch"] for content in contents)
    state.step = max(content["step"] for content in contents)
    state.val_loss = state.best_val_loss = outcome.val.mean_loss
    state.best_val_acc, state.zero_ms = outcome.val.accuracy, outcome.zero_ms
    state.calibration, state.clips = outcome.calibration, contents[0]["clips"]
    state.trained_on = sorted({name for content in contents for name in content["trained_on"]})
    return for_inference(state.content(), paths[0]), measured


def see_one_kind(content, config, first, first_config, how: str, path: Path) -> None:
    """See to it that a checkpoint can be put together with the first one.

    Raises:
        CheckpointError: its network is another, or it saw clips that the first one is judged by.
    """
    from src.models.spec import ModelSize

    free = {"dropout": 0.0}
    if how == "members":
        free |= {"members": 1, "view_of": "lower_face"}
    size, first_size = (replace(ModelSize.of(one), **free) for one in (config, first_config))
    if size != first_size:
        raise CheckpointError(tr("{path} holds another network than the first one", path=path))
    if content.get("clips") != first.get("clips"):
        raise CheckpointError(
            tr("{path} was trained on other clips than the first one, or on another split of them: "
               "clips it was trained on would be tested on", path=path)
        )  # fmt: skip


def main() -> int:
    parser = make_parser(
        tr("Make one checkpoint of several: the mean of their weights, or all side by side."),
        "python tools/combine_checkpoints.py one/best_model.pth other/best_model.pth "
        "--as members --index data/processed/dataset_index.pkl -o checkpoints/both.pth",
        settings=False,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="CKPT", help=tr("two or more"))
    parser.add_argument(
        "--as", dest="how", choices=("mean", "members"), required=True,
        help=tr("mean: for trainings that went on from one checkpoint; members: side by side"),
    )  # fmt: skip
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument("-o", "--output", type=Path, required=True, help=tr("the new file"))
    args = parser.parse_args()
    if len(args.paths) < 2:
        parser.error(tr("two or more checkpoints are needed"))
    if args.output.exists() and any(args.output.samefile(p) for p in args.paths if p.exists()):
        raise OutputError(
            tr("the output {path} is an input: choose another name", path=args.output)
        )
    from src.checkpoints.checkpoint import save_checkpoint

    content, measured = combine(args.paths, args.index, args.how)
    save_checkpoint(args.output, content)
    print(f"{'':34s} {'val_loss':>9s} {'val_acc':>8s} {'K = 5':>7s} {'K = 15':>7s}")
    for name, outcome in measured:
        shares = " ".join(f"{outcome.report.share_at[n]:7.1%}" for n in (5, 15))
        print(f"{name:34s} {outcome.val.mean_loss:9.4f} {outcome.val.accuracy:8.1%} {shares}")
    print(tr("saved: {path}", path=args.output))
    return 0


if __name__ == "__main__":
    run(main)
