"""What all commands share: the settings options, and how they end on errors, Ctrl+C and signals."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..i18n.argparse_messages import translate_argparse
from ..i18n.messages import tr, use_utf8_console
from .cluster import ENGINES
from .console import console_logging, printable_console
from .errors import ConfigError, LipSyncError

if TYPE_CHECKING:
    from .config import Config

# Whose missing modules are bugs, not libraries to install.
OWN_PACKAGES = ("src", "lipsync", "tools", "benchmarks", "tests")
DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# By these a machine that shuts down and a terminal that is closed end a command. Windows knows
# no SIGHUP.
END_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def make_parser(description: str, example: str, settings: bool = True) -> argparse.ArgumentParser:
    """A parser with an example command under its options.

    Args:
        settings: with ``--config`` and ``--set``.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=tr("example: {command}", command=example),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if not settings:
        return parser
    parser.add_argument("--config", metavar="FILE", help=tr("settings file (default: config.yaml)"))
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="SECTION.KEY=VALUE",
        help=tr("override one setting, for example training.batch_size=4; may be repeated"),
    )  # fmt: skip
    return parser


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--checkpoint``, for commands that score with a model."""
    parser.add_argument(
        "--checkpoint",
        help=tr("the trained model (default: checkpoints/best_model.pth, or the pretrained one)"),
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add ``--engine`` and ``--scheduler``, for commands whose work can be spread over machines."""
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0],
        help=tr("what spreads the work: processes of this machine (default), or a Dask cluster"),
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="HOST:PORT|slurm|local",
        help=tr("with --engine dask: the cluster's scheduler; slurm: workers are Slurm jobs; "
                "local (default): processes of this machine"),
    )  # fmt: skip


def make_checkpoint_parser(description: str, example: str) -> argparse.ArgumentParser:
    """A parser that takes a checkpoint by position, or with ``--ckpt`` or ``--checkpoint``."""
    parser = make_parser(description, example, settings=False)
    parser.add_argument("path", nargs="?", type=Path, metavar="CKPT", help=tr("the checkpoint"))
    parser.add_argument(
        "--ckpt", "--checkpoint", type=Path, dest="named", metavar="CKPT",
        help=tr("the same, as an option"),
    )  # fmt: skip
    return parser


def checkpoint_of(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Path:
    """The checkpoint from either; exits with a usage error where there is none, or two."""
    paths = {path for path in (args.path, args.named) if path is not None}
    if len(paths) != 1:
        parser.error(tr("give exactly one checkpoint"))
    return paths.pop()


# What scoring with a trained model uses. Its network, and what was changed in its training samples,
# are those of the checkpoint; ``model`` and the sizes are accepted for bare weights.
SCORING_SETTINGS = (
    "data.detector", "data.detection_size", "data.detect_every", "data.min_score",
    "data.min_face_size", "data.max_faces", "data.max_lost_frames", "data.input_size",
    "data.n_mfcc", "data.fps", "data.sample_rate", "model", "training.device",
    "paths.checkpoint_dir", "paths.output_dir", "inference",
)  # fmt: skip


def settings_of(args: argparse.Namespace, used: Sequence[str] | None = None) -> "Config":
    """The settings that ``--config`` and ``--set`` give.

    Args:
        used: sections, and keys such as ``paths.output_dir``, that the command uses; None: all, as
            the steps from clips to a model share their settings.

    Raises:
        ConfigError: they are not valid, or ``--set`` has a key that would have no effect.
    """
    from .config import load_config, override_key  # --help is quick without pydantic

    config = load_config(args.config, args.overrides)
    for key in map(override_key, args.overrides):
        if used is not None and key not in used and key.partition(".")[0] not in used:
            raise ConfigError(
                tr("--set {key}: has no effect here; this command uses {used}",
                   key=key, used=", ".join(f"{name}.*" if "." not in name else name
                                           for name in used))
            )  # fmt: skip
    return config


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl+C inside takes effect at the end of the block; so do SIGTERM and SIGHUP."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread only
        return
    arrived: list[int] = []

    def remember(number: int, _) -> None:
        arrived.append(number)
        _discard_lost_outputs()

    with signals_caught(remember):
        yield
    if arrived:
        signal.raise_signal(arrived[0])


@contextmanager
def signals_caught(handle: Callable[[int, object], None]) -> Iterator[None]:
    """Ctrl+C, SIGTERM and SIGHUP inside call ``handle``, in the main thread; those that are ignored
    (``nohup``) stay ignored."""
    handlers = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, *END_SIGNALS)
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP inside raise KeyboardInterrupt, so that work is saved and nothing
    half-done stays. Those that are ignored (``nohup``) or handled by others are left alone."""
    numbers = [number for number in END_SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def interrupt(*_) -> None:
        for number in numbers:  # once: a closing terminal sends several, during the clean-up too
            signal.signal(number, signal.SIG_IGN)
        _discard_lost_outputs()
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _discard_lost_outputs() -> None:
    """Whatever is still printed where the terminal has been closed must not fail."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@printable_console()
def run(main: Callable[[], int | None]) -> None:
    """Run a command, with what packages log on its console, and exit with its status.

    Statuses: 0 done; 1 by ``main``, where nothing could be corrected or verified, or the reader
    of the output is gone; 2 invalid input, an output that cannot be written, or a library that is
    not installed, with one line on stderr; 130 Ctrl+C, SIGTERM or SIGHUP. Any other exception is
    a bug and passes.
    """
    use_utf8_console()
    translate_argparse()
    try:
        with _ended_like_ctrl_c(), console_logging():
            status = main() or 0
        sys.stdout.flush()  # a full disk under what was printed shows here at the latest
        sys.exit(status)
    except LipSyncError as error:
        print(tr("error: {text}", text=error), file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", *OWN_PACKAGES):
            raise
        text = tr("the package {name} is not installed: pip install -r requirements.txt",
                  name=package)  # fmt: skip
        print(tr("error: {text}", text=text), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\n" + tr("stopped"), file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output has gone: no one is left to report to
        _discard_output()
        sys.exit(1)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        path = error.filename or "stdout"
        text = tr("cannot write {path}: {why}", path=path, why=error.strerror)
        print(tr("error: {text}", text=text), file=sys.stderr)
        _discard_output()
        sys.exit(2)


def _discard_output() -> None:
    """What could not be printed is not tried again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
