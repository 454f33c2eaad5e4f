"""minigan export: weights for other libraries."""

from __future__ import annotations

import argparse
from typing import Any

import safetensors.numpy

from minigan.cli.common import add_best, add_command, output
from minigan.errors import ConfigError
from minigan.files import write_whole
from minigan.nn import Sequential
from minigan.nn.pytorch import pytorch_sequential
from minigan.training import load_run


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "export",
        run,
        help="write weights for another library",
        description="Write a run's network for PyTorch: a safetensors file whose tensors "
        "load_state_dict of an nn.Sequential accepts, and that nn.Sequential as a line of Python. "
        "If the network begins with AppendCondition, its rows are [x, c]: the condition follows "
        "the input.",
    )
    parser.add_argument("--to", choices=["pytorch"], required=True, help="the library")
    parser.add_argument("out", type=output, metavar="FILE", help="the file, FILE.safetensors")
    parser.add_argument(
        "--network",
        choices=["sampler", "generator", "discriminator"],
        default="sampler",
        help="which network: the one that samples are drawn with (the averaged generator, if "
        "there is one), the generator as training left it, or the discriminator",
    )
    add_best(parser)


def run(args: argparse.Namespace) -> int:
    """Convert and write."""
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"the file must end in .safetensors, not {args.out.name!r}")
    gan = load_run(args.run_folder, best=args.best).gan
    net: Sequential = getattr(gan, args.network)
    try:
        source, state = pytorch_sequential(net)
    except ConfigError as error:
        hint = "; --network sampler is the generator" if args.network == "discriminator" else ""
        raise ConfigError(f"{error}{hint}") from None
    write_whole(args.out, safetensors.numpy.save(state))
    print(f"wrote {args.out}; in Python:")
    print("    import safetensors.torch, torch")
    print(f"    net = {source}")
    print(f"    net.load_state_dict(safetensors.torch.load_file({args.out.as_posix()!r}))")
    print("    net.eval()")
    if net.condition_features:
        print(
            f"its rows are [x, c]: {net.in_features} numbers of x, then {net.condition_features} "
            "of the condition c, such as 1 at the class and 0 elsewhere"
        )
    return 0
