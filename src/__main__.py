"""The command ``lipsync``: measures and corrects sync, trains the model that does it, and re-makes
lips for new speech with it.

Each subcommand hands its arguments to the ``main`` of a script, so that ``lipsync train --resume
auto`` is ``python src/train.py --resume auto``. ``score``, ``correct`` and ``present`` take their
files without ``--video``, ``--audio`` and ``--output``.
"""

import io
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from itertools import takewhile
from typing import NamedTuple

from .core.cli import make_parser, run
from .core.errors import ConfigError
from .i18n.messages import tr

# Options that say which videos are meant; without one of them these commands take a VIDEO.
SOURCES = ("--video", "--batch", "--video-dir", "--find-audio", "--find-video")


class FileArgument(NamedTuple):
    """A file given by its position, and the option of the script that it stands for."""

    metavar: str
    option: str
    description: str


class Subcommand(NamedTuple):
    """What ``lipsync NAME`` runs: a script of this folder, and what it puts before the options."""

    script: str
    description: str
    example: str
    files: tuple[FileArgument, ...] = ()
    options: tuple[str, ...] = ()


def _subcommands() -> dict[str, Subcommand]:
    """The subcommands by name, in the order of use."""
    video = FileArgument("VIDEO", "--video", tr("the video"))
    audio = FileArgument("AUDIO", "--audio", tr("the audio (default: the video's own audio track)"))
    output = FileArgument(
        "OUTPUT",
        "--output",
        tr("the corrected video (default: <video>_synced in paths.output_dir)"),
    )
    return {
        "score": Subcommand(
            "inference",
            tr("Score a video against its audio and measure the offset."),
            "lipsync score v.mp4 a.wav --report result.html",
            (video, audio),
            ("--score-only",),
        ),
        "correct": Subcommand(
            "inference",
            tr("Measure the offset and write a video with the audio in sync."),
            "lipsync correct v.mp4 a.wav outputs/v_synced.mp4",
            (video, audio, output),
        ),
        "present": Subcommand(
            "present",
            tr("Re-make the mouth of a presenter for a new speech, from their own footage."),
            "lipsync present me.mp4 new.wav out.mp4 --presenter presenters/me",
            (
                FileArgument("VIDEO", "--video", tr("the video under the new mouth")),
                FileArgument("AUDIO", "--audio", tr("the new speech")),
                FileArgument("OUTPUT", "--output", tr("the new video")),
            ),
        ),
        "learn-presenter": Subcommand(
            "learn_presenter",
            tr("Index footage of a person, so that their mouth can be re-made for new speech."),
            "lipsync learn-presenter --footage me/*.mp4 --output presenters/me",
        ),
        "train-presenter": Subcommand(
            "train_presenter",
            tr("Train the shapes of a presenter's mouth: src/present.py then uses them by itself."),
            "lipsync train-presenter presenters/me",
        ),
        "process": Subcommand(
            "data_processing",
            tr("Turn talking-head videos into training samples."),
            "lipsync process",
        ),
        "clean-offsets": Subcommand(
            "clean_offsets",
            tr("Measure the clip offset of every training sample."),
            "lipsync clean-offsets",
        ),
        "train": Subcommand("train", tr("Train the sync model."), "lipsync train"),
        "evaluate": Subcommand(
            "evaluate", tr("Measure a trained model on test samples."), "lipsync evaluate"
        ),
        "serve": Subcommand(
            "serve",
            tr("A service for programs: score, correct and re-make lips by HTTP."),
            "lipsync serve --presenters presenters",
        ),
    }


def main() -> None:
    """The entry point; ends the process with the status of the script."""
    run(_dispatch)


def _dispatch() -> int | None:
    subcommands = _subcommands()
    name, *arguments = sys.argv[1:] or [""]
    if name in ("", "-h", "--help"):
        print(_overview(subcommands), end="")
        return 0 if name else 2
    if name == "--version":
        print(f"lipsync {import_module(__package__).__version__}")
        return 0
    if name not in subcommands:
        raise ConfigError(
            tr("unknown command {name}: choose from {names}",
               name=name, names=", ".join(subcommands))
        )  # fmt: skip
    subcommand = subcommands[name]
    if "-h" in arguments or "--help" in arguments:
        print(_help(name, subcommand), end="")
        return 0
    return _run_script(name, subcommand, _script_arguments(name, subcommand, arguments))


def _run_script(name: str, subcommand: Subcommand, arguments: list[str]) -> int | None:
    """Run ``main`` of the script, which reads ``sys.argv``; returns its status."""
    sys.argv = [f"lipsync {name}", *arguments]
    return import_module(f".{subcommand.script}", __package__).main()


def _script_arguments(name: str, subcommand: Subcommand, arguments: list[str]) -> list[str]:
    """The arguments with the files, which come first, as options of the script.

    Raises:
        ConfigError: no file comes first, and no option names one.
    """
    if not subcommand.files:
        return arguments
    files = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    files = files[: len(subcommand.files)]
    options = arguments[len(files) :]
    if not files and not any(option.split("=")[0] in SOURCES for option in options):
        raise ConfigError(
            tr("name the video before the options: {usage}", usage=_usage(name, subcommand))
        )
    named = [
        text for file, path in zip(subcommand.files, files, strict=False)
        for text in (file.option, path)
    ]  # fmt: skip
    return [*named, *subcommand.options, *options]


# ------------------------------------------------------------------------------ --help


def _overview(subcommands: dict[str, Subcommand]) -> str:
    """What ``lipsync --help`` prints."""
    parser = make_parser(
        tr("Measure and correct the sync of video and audio, and train the model for it."),
        "lipsync score v.mp4 a.wav",
        settings=False,
    )
    parser.prog, parser.usage = "lipsync", "lipsync COMMAND …"
    group = parser.add_argument_group(
        tr("commands (lipsync COMMAND --help shows the options of one)")
    )
    for name, subcommand in subcommands.items():
        group.add_argument(name, help=subcommand.description)
    parser.add_argument("--version", action="store_true", help=tr("show the version and exit"))
    return parser.format_help()


def _usage(name: str, subcommand: Subcommand) -> str:
    """Such as ``lipsync correct VIDEO [AUDIO [OUTPUT]] [OPTION …]``."""
    first, *others = [file.metavar for file in subcommand.files]
    return f"lipsync {name} {first} [{' ['.join(others)}{']' * len(others)} [OPTION …]"


def _help(name: str, subcommand: Subcommand) -> str:
    """What ``lipsync NAME --help`` prints: the help of the script, under the name of the command.

    Where files are given by position, its options alone, under a head of our own.
    """
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        _run_script(name, subcommand, ["--help"])
    text = printed.getvalue().replace(f"python src/{subcommand.script}.py", f"lipsync {name}")
    if not subcommand.files:
        return text
    parser = make_parser(subcommand.description, subcommand.example, settings=False)
    parser.usage = _usage(name, subcommand)
    for file in subcommand.files:
        parser.add_argument(file.metavar, help=file.description)
    usage, description, files, _, example = parser.format_help().split("\n\n")
    paragraphs = text.split("\n\n")
    first = next(i for i, paragraph in enumerate(paragraphs) if "--help" in paragraph)
    return "\n\n".join([usage, description, files, *paragraphs[first:-1], example])


if __name__ == "__main__":
    main()
