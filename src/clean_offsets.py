"""CLI: measures the clip offset of every sample, from the samples alone.

The speakers are distributed over folds. For each fold a network is trained briefly on the clips of
the other folds and measures the clips of this one, whose speakers it has not seen. Every clip is
re-timed by its measured offset, and the round is repeated until the offsets hardly change:
cross-fitted self-training, because networks trained on re-timed clips measure more clips. In the
end the index gets each sample's ``offset_ms``; training reads the clips re-timed and skips those
with no more evidence than a mismatched pair.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import add_engine, make_parser, run, settings_of
from .i18n.messages import tr


def main() -> int:
    parser = make_parser(
        tr("Measure the clip offset of every sample so that training reads it in sync."),
        "python src/clean_offsets.py --set training.device=cpu",
    )
    add_engine(parser)
    args = parser.parse_args()
    config = settings_of(args)

    # Imported here: --help is quick without torch.
    from .cleaning.cross_fitting import measure_clip_offsets
    from .core.cluster import engine_opened
    from .core.device import reuse_freed_memory
    from .dataset.tar_shards import publish_samples

    reuse_freed_memory()
    processed, n_workers = Path(config.data.processed_dir), config.cleaning.folds
    with engine_opened(args.engine, args.scheduler, n_workers, processed) as map_jobs:
        folder = measure_clip_offsets(config, map_jobs)
    publish_samples(config.data)
    print(tr("clip offsets written to the index; table and plot: {folder}", folder=folder))
    return 0


if __name__ == "__main__":
    run(main)
