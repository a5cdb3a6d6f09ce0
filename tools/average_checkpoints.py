"""CLI: one checkpoint with the mean weights of several (model soup, Wortsman et al. 2022).

Trainings that went on from one checkpoint, with other augmentation or another seed, end in the same
valley: the mean of their weights is at least as good as they are, often better on what none of them
saw, and costs no more than one. It is measured and its score calibrated on the validation samples,
as after an epoch of training, and printed beside what it was made of.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.cli import make_parser, run
from src.errors import CheckpointError, OutputError
from src.messages import tr


def mean_of(weights: list[dict], path: Path) -> dict:
    """The mean of networks, tensor by tensor; counters are those of the first.

    Raises:
        CheckpointError: their networks differ.
    """
    import torch

    shapes = [{name: tensor.shape for name, tensor in one.items()} for one in weights]
    if any(one != shapes[0] for one in shapes):
        raise CheckpointError(tr("{path} holds another network than the first one", path=path))
    return {
        name: torch.stack([one[name].double() for one in weights]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in weights[0].items()
    }


def average(paths: list[Path], index: Path) -> tuple[dict, list[tuple[str, object]]]:
    """The mean of checkpoints, ready to be saved, and what was measured of each and of it.

    Args:
        index: that of their training.

    Returns:
        (content without the state of a training, [(name, ``train.Outcome``)]).

    Raises:
        MissingFileError, CheckpointError, DatasetError: also where they were trained on other
            clips than each other, or than the index holds.
    """
    from src.checkpoint import config_of, for_inference, load_checkpoint
    from src.device import choose_device
    from src.train import judge_epoch
    from src.training_state import Tally, new_model, new_state
    from src.verification import training_samples

    contents = [load_checkpoint(path) for path in paths]
    config = config_of(contents[0], paths[0])
    for path, content in zip(paths, contents, strict=True):
        mean = mean_of([contents[0]["model_state_dict"], content["model_state_dict"]], path)
        train, val = training_samples(content, config_of(content, path), index)
    mean = mean_of([content["model_state_dict"] for content in contents], paths[0])
    measured = []
    named = [*zip((path.name for path in paths), (c["model_state_dict"] for c in contents),
                  strict=True), (tr("the mean"), mean)]  # fmt: skip
    for name, weights in named:
        model = new_model(config, choose_device("auto"))
        model.load_state_dict(weights)
        state = new_state(config, model, train, val)
        measured.append((name, judge_epoch(state, Tally())))
    outcome = measured[-1][1]
    state.epoch = max(content["epoch"] for content in contents)
    state.step = max(content["step"] for content in contents)
    state.val_loss = state.best_val_loss = outcome.val.mean_loss
    state.best_val_acc, state.zero_ms = outcome.val.accuracy, outcome.zero_ms
    state.calibration, state.clips = outcome.calibration, contents[0]["clips"]
    state.trained_on = sorted({name for content in contents for name in content["trained_on"]})
    return for_inference(state.content(), paths[0]), measured


def main() -> int:
    parser = make_parser(
        tr("Average the weights of trainings that went on from one checkpoint."),
        "python tools/average_checkpoints.py one/best_model.pth other/best_model.pth "
        "--index data/processed/dataset_index.pkl -o checkpoints/mean.pth",
        settings=False,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="CKPT", help=tr("two or more"))
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument("-o", "--output", type=Path, required=True, help=tr("the new file"))
    args = parser.parse_args()
    if len(args.paths) < 2:
        parser.error(tr("two or more checkpoints are needed"))
    if args.output.exists() and any(args.output.samefile(p) for p in args.paths if p.exists()):
        raise OutputError(
            tr("the output {path} is an input: choose another name", path=args.output)
        )
    from src.checkpoint import save_checkpoint

    content, measured = average(args.paths, args.index)
    save_checkpoint(args.output, content)
    print(f"{'':34s} {'val_loss':>9s} {'val_acc':>8s} {'K = 5':>7s} {'K = 15':>7s}")
    for name, outcome in measured:
        shares = " ".join(f"{outcome.report.share_at[n]:7.1%}" for n in (5, 15))
        print(f"{name:34s} {outcome.val.mean_loss:9.4f} {outcome.val.accuracy:8.1%} {shares}")
    print(tr("saved: {path}", path=args.output))
    return 0


if __name__ == "__main__":
    run(main)
