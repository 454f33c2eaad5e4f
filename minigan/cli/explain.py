"""minigan explain: a layer, loss, optimizer or game with live numbers, or one step of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from minigan.cli.common import add_best, data_of_run
from minigan.command_line import path, seed
from minigan.errors import UNEXPECTED, CheckpointError, ConfigError, MiniganError
from minigan.files import as_path
from minigan.lessons import TOPICS, explain_own, find_topic, layers_of, list_topics
from minigan.lessons.explanation import MARK, LayerTopic
from minigan.lessons.second_order import SecondOrderTopic
from minigan.lessons.step_trace import WORTH_A_LOOK, trace_step
from minigan.lessons.user_code import blame, importable, load_module
from minigan.text import BOLD, RED, YELLOW, coloured, count
from minigan.training import limit_threads, load_run, read_history, suitable_threads
from minigan.training.run_folder import HISTORY

#: Titles of sections, and marks at wrong numbers.
COLOURS = {r"^.+(\n.+){0,2}?(?=\n[-=]+$)": BOLD, rf"{MARK}|.* DISAGREE.*": RED}


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="show a layer's gradients, or a step of a run, with live numbers",
        description="For a layer, loss, optimizer or game: its formula, the derivation in brief, "
        "our code, and live numbers of a tiny batch. Each gradient stands next to the one from "
        "finite differences; where they disagree it is marked, and the exit code is 1. For a run: "
        "its next training step, layer by layer. The run itself is not changed.",
        epilog="Names: " + ", ".join(topic.name for topic in TOPICS) + ".",
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="a name from the list below, a run folder, or a .py file with your own layers; by "
        "default, print the list",
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the numbers (default: 0)")
    parser.add_argument(
        "--second-order",
        action="store_true",
        help="of a layer, the tangent and the gradients through it, which a penalty of an input "
        "gradient needs",
    )
    parser.add_argument(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="the folder with the run's data, as in training",
    )
    add_best(parser)
    parser.add_argument(
        "--previous",
        action="store_true",
        help="use the checkpoint before the newest: at the end of many runs the learning rate is "
        "0, and nothing moves",
    )
    parser.set_defaults(run=run, command="explain")


def run(args: argparse.Namespace) -> int:
    """Explain a name, a file or a run folder."""
    if args.what is None:
        print("minigan explain WHAT explains a run folder, a .py file with layers, or one of")
        print(f"\n{list_topics()}")
        return 0
    if not args.what:
        raise ConfigError("WHAT must not be empty")
    what = as_path(args.what)
    known = args.what.casefold() in {topic.name.casefold() for topic in TOPICS}
    if not known and (what.is_dir() or (what.name != args.what and what.suffix != ".py")):
        if args.seed is not None:
            raise ConfigError("--seed is for a name or a file; a run has its own numbers")
        if args.second_order:
            raise ConfigError("--second-order is for a layer, or a file with layers")
        return explain_run(what, args)
    if args.best or args.previous or args.data_dir is not None:
        raise ConfigError("--best, --previous and --data-dir are for a run folder")
    if what.suffix == ".py":
        return explain_file(what, args.seed or 0, args.second_order)
    topic = find_topic(args.what)
    topic = SecondOrderTopic.of(topic) if args.second_order else topic
    text, right = topic.explain(args.seed or 0)
    print(coloured(text, COLOURS))
    return 0 if right else 1


def explain_file(file: Path, seed: int, second_order: bool) -> int:
    """The layers that a user's file defines; 2 if one of them does not run."""
    topic = SecondOrderTopic if second_order else LayerTopic
    module = load_module(file)
    codes = {0}
    with importable(file.parent):
        try:
            layers, left_out = layers_of(module)
        except MiniganError:
            raise
        except Exception as error:
            raise ConfigError(f"cannot make a layer of {file}: {blame(error, file)}") from error
        for layer in layers:
            try:
                text, right = explain_own(layer, seed, topic)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # SystemExit, and whatever else the layer raises
                sys.stdout.flush()
                print(
                    f"minigan explain: error: {layer} does not run: {blame(error, file)}",
                    file=sys.stderr,
                )
                codes.add(2)
                continue
            print(coloured(text, COLOURS), end="\n\n")
            codes.add(0 if right else 1)
    if left_out:
        print(
            f"not shown, since they need settings: {', '.join(left_out)}; add an instance of each "
            "to the file",
            file=sys.stderr,
        )
    return max(codes)


def explain_run(folder: Path, args: argparse.Namespace) -> int:
    """The next step of a run."""
    trained = load_run(folder, best=args.best, previous=args.previous)
    data = data_of_run(trained, args.data_dir)
    try:
        data.load_state(trained.metadata["data"])
    except UNEXPECTED as error:
        raise CheckpointError(f"{folder} does not record its place in the data: {error}") from error
    batch = int(trained.description["trainer"]["batch"])
    file = folder / HISTORY
    rows = read_history(file) if file.exists() else []
    rows = [row for row in rows if row["step"] <= trained.gan.step_count]
    trained.gan.bind(batch)
    with limit_threads(suitable_threads(trained.gan, batch)):
        seen = trace_step(trained.gan, data, rows)
    real = count(batch, "real sample")
    print(f"{folder}: step {seen.step:,}, the next of its training, with {real}\n")
    print(coloured(str(seen), {rf"^{WORTH_A_LOOK}$(\n .*)*": YELLOW}))
    return 0
