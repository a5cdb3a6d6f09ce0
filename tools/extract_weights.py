"""CLI: extracts the part of a checkpoint that scoring needs, to use and to share.

The extracted file scores clips and initialises other trainings; only ``--resume`` needs the whole
checkpoint. With ``--half`` the weights are stored in 16 bits, at half the size, and used in 32.
With ``--weights-only`` the file holds bare weights, which need ``--config`` with the settings they
were trained with, and have no calibrated score.
"""

import sys
from hashlib import sha256
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import checkpoint_of, make_checkpoint_parser, run
from src.core.errors import CheckpointError, OutputError
from src.i18n.messages import tr


def extract(
    checkpoint: Path, output: Path, weights_only: bool = False, half: bool = False
) -> list[str]:
    """Write the part of a checkpoint that scoring needs, read it back and compare it.

    Args:
        weights_only: bare weights, without settings and calibration.
        half: 16-bit weights (relative error up to 0.0005); biases and the statistics of batch
            norms, which are small, stay as they are.

    Returns:
        what was written, for a message.

    Raises:
        MissingFileError, CheckpointError, OutputError.
    """
    from src.checkpoints.checkpoint import load_checkpoint, save_checkpoint
    from src.checkpoints.contents import strip_training_state
    from src.checkpoints.safe_file import read_file, write_file

    whole = load_checkpoint(checkpoint)
    if output.exists() and output.samefile(checkpoint):
        raise OutputError(tr("the output {path} is an input: choose another name", path=output))
    weights, stripped = whole["model_state_dict"], strip_training_state(whole, checkpoint)
    if half:
        stripped["model_state_dict"] = weights = halve_precision(weights)
    if weights_only:
        write_file(output, weights)
        written = read_file(output)
    else:
        save_checkpoint(output, stripped)
        written = load_checkpoint(output)["model_state_dict"]
    check_written(weights, written, output)
    return [tr("{n} tensors", n=len(weights))] if weights_only else sorted(stripped)


def halve_precision(weights: dict) -> dict:
    """The weights with all matrices and filters in 16 bits."""
    return {
        name: tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor
        for name, tensor in weights.items()
    }


def check_written(weights: dict, written: dict, path: Path) -> None:
    """Compare the weights read back from a file with those that were written.

    Raises:
        CheckpointError: they differ.
    """
    import torch

    is_equal = weights.keys() == written.keys() and all(
        torch.equal(tensor, written[name]) for name, tensor in weights.items()
    )
    if not is_equal:
        raise CheckpointError(tr("{path} differs from what was written: check the disk",
                                 path=path))  # fmt: skip


def main() -> int:
    parser = make_checkpoint_parser(
        tr("Extract the part of a checkpoint that scoring needs, to use and to share."),
        "python tools/extract_weights.py checkpoints/best_model.pth -o lips.pth",
    )
    parser.add_argument(
        "-o", "--output", type=Path,
        help=tr("the new file (default: <name>_inference.pth or <name>_weights.pth)"),
    )  # fmt: skip
    parser.add_argument(
        "--weights-only",
        action="store_true",
        help=tr("only the weights, without settings and calibration"),
    )
    parser.add_argument("--half", action="store_true", help=tr("16-bit weights: half the size"))
    parser.add_argument(
        "--delete-original", action="store_true",
        help=tr("delete the checkpoint after the new file has been read back and compared"),
    )  # fmt: skip
    checkpoint = checkpoint_of(parser, args := parser.parse_args())
    ending = "weights" if args.weights_only else "inference"
    output = args.output or checkpoint.with_name(f"{checkpoint.stem}_{ending}.pth")
    parts = extract(checkpoint, output, args.weights_only, args.half)
    before, after = checkpoint.stat().st_size, output.stat().st_size
    print(tr("{path}: {size:.1f} MB", path=checkpoint, size=before / 1e6))
    print(tr("{path}: {size:.1f} MB ({share:.0%} less)",
             path=output, size=after / 1e6, share=1 - after / before))  # fmt: skip
    print(tr("saved: {parts}", parts=", ".join(parts)))
    print(f"SHA-256 {sha256(output.read_bytes()).hexdigest()}")
    if args.delete_original:
        checkpoint.unlink()
        print(tr("deleted: {path}", path=checkpoint))
    return 0


if __name__ == "__main__":
    run(main)
