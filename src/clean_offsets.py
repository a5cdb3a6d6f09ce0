"""CLI: finds the own offset of every sample, without anything but the samples themselves.

The speakers are dealt into folds. For each fold a network is trained briefly on the others'
clips and measures those of the fold, whose speakers it has not seen. Every clip is re-timed by
what was found, and it is done again until little moves: cross-fitted self-training, for networks
that train on re-timed clips see more. The index gets each sample's ``offset_ms`` at the end:
training reads the clips re-timed, and leaves out those that show no more evidence than a
stranger's sound does.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"


from .cleaning.cross_fitting import clean
from .core.cli import make_parser, run, settings_of
from .core.device import reuse_freed_memory
from .i18n.messages import tr


def main() -> int:
    parser = make_parser(
        tr("Find the own offset of every sample, so that training reads them in sync."),
        "python src/clean_offsets.py --set training.device=cpu",
    )
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    folder = clean(config)
    print(tr("the index holds the offsets now; table and picture: {folder}", folder=folder))
    return 0


if __name__ == "__main__":
    run(main)
