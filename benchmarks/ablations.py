"""What each part of the recipe is worth: one training a row, all with the same budget.

The rows stand in ablations.yaml as settings for ``src/train.py``. Every network is trained on the
training speakers of an index and measured on its validation speakers; nothing is chosen on test
data. A row that is finished is not run again, one that was stopped is taken up.
"""

import json
import subprocess
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import yaml

from src.checkpoints.checkpoint import load_trained
from src.core.cli import make_parser, run, settings_of
from src.core.config import Config, with_overrides
from src.core.device import choose_device, reuse_freed_memory
from src.core.errors import ConfigError, LipSyncError
from src.core.files import ensure_folder, written_atomically
from src.dataset.index import INDEX_NAME
from src.dataset.samples import load_samples
from src.dataset.splits import split_samples
from src.evaluation import summary
from src.i18n.messages import tr

ROOT = Path(__file__).resolve().parents[1]
ROWS = Path(__file__).with_suffix(".yaml")
COLUMNS = ("K = 5", "K = 9", "K = 15", "1 s", "whole clip", "median error ms")


def read_rows(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The settings of all rows, and those of each.

    Raises:
        ConfigError: it is no such table.
    """
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = {str(name): list(more) for name, more in table["rows"].items()}
        common = list(table["all"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(tr("{path} is no table of rows: {why}", path=path, why=why)) from None
    if not rows:
        raise ConfigError(tr("{path} has no rows", path=path))
    return common, rows


def train(settings: list[str], config: str | None, folder: Path) -> None:
    """Train one row, or go on with it."""
    settings = [*settings, f"paths.checkpoint_dir={folder}", f"paths.log_dir={folder}/logs"]
    command = [
        sys.executable,
        str(ROOT / "src/train.py"),
        *(["--config", config] if config else []),
    ]
    command += [part for setting in settings for part in ("--set", setting)]
    if (folder / "last.pth").exists():
        command += ["--resume", str(folder / "last.pth")]
    if subprocess.run(command).returncode:
        raise LipSyncError(tr("the training in {folder} failed", folder=folder))


def same_settings(folder: Path, settings: str) -> None:
    """See to it that a row's folder holds what these settings make.

    Raises:
        ConfigError: it holds what others made.
    """
    note = folder / "settings.json"
    if not note.exists():
        with written_atomically(note) as aside:
            aside.write_text(settings, encoding="utf-8")
    elif note.read_text(encoding="utf-8") != settings:
        raise ConfigError(
            tr("{folder} was made with other settings: choose another --output", folder=folder)
        )


def measured(config: Config, folder: Path) -> dict:
    """Figures of the best network of a row on its validation speakers."""
    trained = load_trained(folder / "best_model.pth", choose_device(config.training.device))
    index = Path(config.data.processed_dir) / INDEX_NAME
    samples = load_samples(index, config.data, config.training.split_by)
    _, val, _ = split_samples(samples, config.training)
    clips = summary.evaluate(trained, val, config.inference.min_offset_probability)
    return summary.summary_of(clips)


def line(name: str, summary: dict) -> str:
    """A row of the table."""
    figures = summary["figures"]
    cells = [summary.value_text(column, figures[column]["value"]) for column in COLUMNS]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> int:
    parser = make_parser(
        tr("Train and measure every row of the table of ablations."),
        "python benchmarks/ablations.py --output outputs/ablations --set training.num_epochs=12",
    )
    parser.add_argument("--rows", type=Path, default=ROWS, help=tr("the table (YAML)"))
    parser.add_argument(
        "--output", type=Path, required=True, help=tr("networks and figures go here")
    )
    args = parser.parse_args()
    common, rows = read_rows(args.rows)
    given = settings_of(args)
    reuse_freed_memory()
    lines = []
    for name, more in rows.items():
        settings = [*common, *more, *args.overrides]
        config = with_overrides(given, settings, str(args.rows))
        folder = ensure_folder(args.output.absolute() / name.replace(" ", "_"))
        same_settings(folder, config.model_dump_json())
        figures = folder / "figures.json"
        if not figures.exists():
            print(f"=== {name}", flush=True)
            train(settings, args.config, folder)
            with written_atomically(figures) as aside:
                aside.write_text(json.dumps(measured(config, folder)), encoding="utf-8")
        lines.append(line(name, json.loads(figures.read_text(encoding="utf-8"))))
    summary = json.loads(figures.read_text(encoding="utf-8"))
    print(tr("validation: {clips} clips of {speakers} speakers",
             clips=summary["clips"], speakers=summary["speakers"]))  # fmt: skip
    print(f"| row | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    run(main)
