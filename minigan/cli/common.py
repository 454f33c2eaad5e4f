"""What every command line here shares: types of arguments, and how errors end."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minigan.backend import chosen
from minigan.config import rebuild
from minigan.data import DataSource, Images, ImageSet, load_images
from minigan.data.images import DATASETS
from minigan.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    FileError,
    Interrupted,
    MiniganError,
    NonFiniteError,
)
from minigan.training import Run, Trainer, read_recipe
from minigan.training.lock import require_unlocked
from minigan.training.run import RECIPE, read_checkpoint, require_same

MOST = 10**9  # what a count on the command line may be
#: Why output that began well cannot go on: the disk is full, or `| head` has seen enough.
STOPPED = {errno.EPIPE, errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.EIO)}


def guard(name: str, work: Callable[[], int], interrupted: Callable[[], str] | None = None) -> int:
    """Do the work; turn what can go wrong into one sentence on stderr and an exit code.

    Returns:
        0 or what `work` returned; 2 for input or files that cannot be, 1 for training that
        failed, a full disk or a terminal that went away, 130 after Ctrl-C, 143 after SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a letter that a console lacks must not end a run
            stream.reconfigure(errors="replace")
    try:
        return work()
    except NonFiniteError as error:
        print(f"{name}: training stopped: {error}", file=sys.stderr)
        return 1
    except MiniganError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1 if isinstance(error, FileError) and error.errno in STOPPED else 2
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        if error.filename and error.errno not in STOPPED:
            print(f"{name}: error: {error.strerror or error}{where}", file=sys.stderr)
            return 2
        print(f"{name}: stopped: {error.strerror or error}{where}", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  so that Python's exit does not fail too
        return 1
    except MemoryError:
        print(f"{name}: error: this needs more memory than there is", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"{error}; {interrupted() if interrupted else 'interrupted'}", file=sys.stderr)
        return 128 + error.signum
    except KeyboardInterrupt:
        print("\n" + ("interrupted" if interrupted is None else interrupted()), file=sys.stderr)
        return 130


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str
) -> argparse.ArgumentParser:
    """Add a subcommand that works on a run folder, `args.run_folder`."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description)
    parser.add_argument("run_folder", type=path, metavar="RUN", help="the run folder")
    parser.set_defaults(run=run, command=name)
    return parser


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device, as every command line here has it."""
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda (the first GPU), cuda:N, or auto: cuda if it works, else cpu "
        "(default: cpu)",
    )


def add_graph(parser: argparse.ArgumentParser) -> None:
    """--no-graph, for what trains."""
    parser.add_argument(
        "--no-graph",
        action="store_true",
        help="run each kernel of each step by itself, instead of repeating a step that was "
        "recorded (as a CUDA graph on a GPU, or as one kernel of many steps): slower",
    )


def tell_choice(args: argparse.Namespace) -> None:
    """Say on stderr what --device auto has chosen; stdout belongs to the results."""
    if getattr(args, "device", None) == "auto":
        print(chosen("auto"), file=sys.stderr)


def add_best(parser: argparse.ArgumentParser) -> None:
    """--best, of the commands that open a run."""
    parser.add_argument(
        "--best",
        action="store_true",
        help="take best.safetensors, of the best score during training, not the newest checkpoint",
    )


def add_run_keeping(
    parser: argparse.ArgumentParser, words: dict[str, Callable[[str], Any]]
) -> None:
    """--resume, --set and --on-nan, as every experiment has them.

    Args:
        parser: the experiment's.
        words: what --set can change of the recipe, and the type of each.
    """
    fields: dict[str, Callable[[str], Any]] = {
        **{f"recipe.{name}": kind for name, kind in words.items()},
        "print_every": positive,
        "checkpoint_every": positive,
        "on_nan": _on_nan,
    }
    names = {field.rpartition(".")[2]: field for field in fields}

    def change(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            raise argparse.ArgumentTypeError(
                f"must be FIELD=VALUE with a field of {', '.join(names)}, not {text!r}"
            )
        return names[name], fields[names[name]](value)

    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out from its checkpoint"
    )
    parser.add_argument(
        "--set",
        action="append",
        type=change,
        metavar="FIELD=VALUE",
        dest="changes",
        help=f"with --resume: change what is safe to change ({', '.join(names)}); can be repeated",
    )
    parser.add_argument(
        "--on-nan",
        type=_on_nan,
        metavar="WHAT",
        help="when training diverges: stop, or rollback to the last checkpoint and go on with half "
        "the learning rates, at most three times (default: stop)",
    )


def changes_of(args: argparse.Namespace) -> dict[str, Any]:
    """What --set asks for, as `Trainer.resume` takes it."""
    if args.changes and not args.resume:
        raise ConfigError("--set changes a run that is there: it needs --resume")
    if args.resume and args.on_nan is not None:
        raise ConfigError("of a run that is there, --set on_nan=... changes it, not --on-nan")
    changes = dict(args.changes or [])
    if len(changes) < len(args.changes or []):
        raise ConfigError("--set names one field twice")
    return changes


def goal_asked(args: argparse.Namespace, name: str) -> int | None:
    """How far a resumed run shall go, by --NAME or by --set NAME=...; None if neither says."""
    given = getattr(args, name)
    asked: int | None = args.changes.pop(f"recipe.{name}", given)
    if given not in (None, asked):
        raise ConfigError(f"--{name} {given} and --set {name}={asked} disagree")
    if asked is not None:
        args.changes[f"recipe.{name}"] = asked
    return asked


def open_description(out: Path) -> dict[str, Any]:
    """recipe.json of a run that shall go on; an error if it was changed, or is in use.

    Raises:
        CheckpointError: no run there, or not as its checkpoint says; the fields are named.
        BusyError: another process is writing the folder.
    """
    description = read_recipe(out)
    require_unlocked(out)
    require_same(out, read_checkpoint(out)[1], description)
    return description


def print_changes(trainer: Trainer) -> None:
    """What --set would change, for a dry run."""
    for field, (old, new) in trainer.changes.items():
        print(f"would set {field}: {old} -> {new}")


def _on_nan(text: str) -> str:
    """What to do with a run that diverges, for argparse."""
    if text not in ("stop", "rollback"):
        raise argparse.ArgumentTypeError(f"must be stop or rollback, not {text!r}")
    return text


def add_noise_seed(parser: argparse.ArgumentParser) -> None:
    """--seed, of the noise that samples are made from."""
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of the noise (default: 0)"
    )


def positive(text: str) -> int:
    """An integer from 1 to `MOST`, for argparse."""
    return _integer(text, 1, MOST)


def natural(text: str) -> int:
    """An integer from 0 to `MOST`, for argparse."""
    return _integer(text, 0, MOST)


def seed(text: str) -> int:
    """An integer >= 0, for argparse."""
    return _integer(text, 0, None)


def path(text: str) -> Path:
    """A file's or folder's path, for argparse; the empty one would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text).expanduser()


def _integer(text: str, least: int, most: int | None) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"must be an integer >= {least}, not {text!r}")
    if most is not None and value > most:
        raise argparse.ArgumentTypeError(f"must be at most {most:,}")
    return value


def add_threads(parser: argparse.ArgumentParser) -> None:
    """--threads, for `limit_threads`."""
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads for matrix products (default: what the BLAS library chooses)",
    )


def run_folder(base: Path, new: bool) -> Path:
    """`base`, or with -2, -3 ... added: the next free one (new), or the last that exists."""
    taken = [1] if base.exists() else []
    for other in base.parent.glob(f"{base.name}-*"):
        suffix = other.name.removeprefix(f"{base.name}-")
        taken += [int(suffix)] if suffix.isdecimal() else []
    number = max(taken, default=0) + (1 if new else 0)
    return base if number <= 1 else base.with_name(f"{base.name}-{number}")


def how_to_resume(args: argparse.Namespace) -> str:
    """What to say to someone who interrupted a run, if there is one to go on with."""
    if args.out is None or not (args.out / RECIPE).exists():
        return "interrupted; nothing was begun"
    words = ["--out", str(args.out), "--resume"]
    for flag, name in (("--data-dir", "data_dir"), ("--threads", "threads")):
        if getattr(args, name, None) is not None:  # another number of threads gives other bits
            words += [flag, str(getattr(args, name))]
    if args.device != "cpu":
        words += ["--device", args.device]
    return f"interrupted; go on with: {shlex.join(words)}"


def same_flags(out: Path, flags: dict[str, tuple[Any, Any]]) -> None:
    """Raise `ConfigError` if a flag was given that differs from the run being resumed.

    Args:
        out: the run folder.
        flags: name -> (what was given, or None; what the run has).
    """
    for flag, (given, own) in flags.items():
        if given is not None and given != own:
            raise ConfigError(
                f"{out} holds a run with {flag} {own}, not {given}; "
                "leave the flag out, or choose another folder"
            )


def image_shape(folder: Path, data: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the images that a run makes; `DataError` if it makes none."""
    shape = data.get("shape")
    if data.get("data") != "Images" or not isinstance(shape, list) or len(shape) != 3:
        raise DataError(
            f"{folder} holds a run on {data.get('data', 'unknown data')}, not on images"
        )
    return int(shape[1]), int(shape[2])


def images_of_run(folder: Path, data: dict[str, Any], data_dir: Path | None) -> ImageSet:
    """The images that a run was trained on.

    Args:
        folder: the run folder.
        data: the description of its data.
        data_dir: where --data-dir says that they are.

    Raises:
        DataError: the run is not on images, or on some that are not here.
    """
    image_shape(folder, data)  # an error, if these are no images
    if data.get("dataset") not in DATASETS:
        raise DataError(
            f"{folder} was trained on images called {data.get('dataset')!r}, which only "
            f"who trained it has; the command knows {', '.join(DATASETS)}"
        )
    images = load_images(data["dataset"], data_dir)
    if Images(images.train).sha256 != data.get("sha256"):
        raise DataError(f"{folder} was trained on other images than those of {images.source}")
    return images


def data_of_run(run: Run, data_dir: Path | None) -> DataSource:
    """The data of a run, at the position where its checkpoint left them.

    Raises:
        DataError: the data are not here.
        CheckpointError: the checkpoint does not know the position.
    """
    settings, data = run.data, None
    try:
        if settings.get("data") != "Gaussian":
            images = images_of_run(run.folder, settings, data_dir)
            data = Images(
                images.train,
                seed=settings["seed"],
                dtype=settings["dtype"],
                dataset=settings["dataset"],
            )
        source: DataSource = data or rebuild("data", settings, "cpu")
        source.load_state(run.metadata["data"])
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{run.folder} does not describe its data: {error!r}") from error
    return source
