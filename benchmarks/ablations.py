"""Ablations: one training for each row of settings, all with the same budget.

The rows are in ablations.yaml, as settings for ``src/train.py``. Every network is trained on the
training speakers of an index and measured on its validation speakers; nothing is selected on test
data. A finished row is not run again, an interrupted one is resumed.
"""

import json
import subprocess
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.checkpoints.checkpoint import load_trained
from src.core.cli import make_parser, run, settings_of
from src.core.config import Config, with_overrides
from src.core.device import choose_device, reuse_freed_memory
from src.core.errors import ConfigError, LipSyncError
from src.core.files import ensure_folder, written_atomically
from src.core.yaml_text import parse_yaml
from src.dataset.index import INDEX_NAME
from src.dataset.samples import load_samples
from src.dataset.splits import split_samples
from src.evaluation import summary, tables
from src.i18n.counts import clips_of_speakers
from src.i18n.messages import tr

ROOT = Path(__file__).resolve().parents[1]
ROWS = Path(__file__).with_suffix(".yaml")
COLUMNS = ("K = 5", "K = 9", "K = 15", "1 s", "whole clip", "median error ms")


def read_rows(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The settings common to all rows, and those of each row by its name.

    Raises:
        ConfigError: the file is not a valid table.
    """
    try:
        table = parse_yaml(path.read_text(encoding="utf-8"))
        rows = {str(name): list(settings) for name, settings in table["rows"].items()}
        common = list(table["all"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            tr("{path} is not a valid table of ablations: {why}", path=path, why=reason)
        ) from None
    if not rows:
        raise ConfigError(tr("{path} has no rows", path=path))
    return common, rows


def train_row(settings: list[str], config_path: str | None, folder: Path) -> None:
    """Train one row, or resume its training.

    Raises:
        LipSyncError: the training failed.
    """
    settings = [*settings, f"paths.checkpoint_dir={folder}", f"paths.log_dir={folder}/logs"]
    command = [
        sys.executable,
        str(ROOT / "src/train.py"),
        *(["--config", config_path] if config_path else []),
    ]
    command += [part for setting in settings for part in ("--set", setting)]
    if (folder / "last.pth").exists():
        command += ["--resume", str(folder / "last.pth")]
    if subprocess.run(command).returncode:
        raise LipSyncError(tr("the training in {folder} failed", folder=folder))


def check_settings(folder: Path, settings: str) -> None:
    """Check that the results in a folder were made with these settings; an empty one gets them.

    Raises:
        ConfigError: they were made with other settings.
    """
    settings_path = folder / "settings.json"
    if not settings_path.exists():
        with written_atomically(settings_path) as temporary_path:
            temporary_path.write_text(settings, encoding="utf-8")
    elif settings_path.read_text(encoding="utf-8") != settings:
        raise ConfigError(
            tr("{folder} was made with other settings: choose another --output", folder=folder)
        )


def measure_row(config: Config, folder: Path) -> dict:
    """Metrics of the best network of a row on its validation speakers."""
    trained = load_trained(folder / "best_model.pth", choose_device(config.training.device))
    index_path = Path(config.data.processed_dir) / INDEX_NAME
    samples = load_samples(index_path, config.data, config.training.split_by)
    _, val, _ = split_samples(samples, config.training)
    clips = summary.evaluate(trained, val, config.inference.min_offset_probability)
    return summary.summarise(clips)


def format_row(name: str, result: dict) -> str:
    """A row of the printed table."""
    figures = result["figures"]
    cells = [tables.format_metric(column, figures[column]["value"]) for column in COLUMNS]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> int:
    parser = make_parser(
        tr("Train and measure every row of the ablation table."),
        "python benchmarks/ablations.py --output outputs/ablations --set training.num_epochs=12",
    )
    parser.add_argument("--rows", type=Path, default=ROWS, help=tr("ablation table (YAML)"))
    parser.add_argument(
        "--output", type=Path, required=True, help=tr("folder for networks and results")
    )
    args = parser.parse_args()
    common, rows = read_rows(args.rows)
    base_config = settings_of(args)
    reuse_freed_memory()
    lines = []
    for name, row_settings in rows.items():
        settings = [*common, *row_settings, *args.overrides]
        config = with_overrides(base_config, settings, str(args.rows))
        folder = ensure_folder(args.output.absolute() / name.replace(" ", "_"))
        check_settings(folder, config.model_dump_json())
        result_path = folder / "figures.json"
        if not result_path.exists():
            print(f"=== {name}", flush=True)
            train_row(settings, args.config, folder)
            with written_atomically(result_path) as temporary_path:
                temporary_path.write_text(json.dumps(measure_row(config, folder)), encoding="utf-8")
        result = json.loads(result_path.read_text(encoding="utf-8"))
        lines.append(format_row(name, result))
    clips = clips_of_speakers(result["clips"], result["speakers"])
    print(tr("validation: {clips}", clips=clips))
    print(f"| row | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    run(main)
