"""An experiment: recipes, and a command line that trains them, resumes them and draws a figure."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from minigan.backend import device_name, get_backend
from minigan.checks import flag, whole
from minigan.command_line import add_device, guard, path, positive, seed
from minigan.data import DataSource
from minigan.errors import UNEXPECTED, CheckpointError, ConfigError, MiniganError
from minigan.evaluation import form_of, plots
from minigan.experiment.recipe import (
    AUTO,
    add_flags,
    check_recipes,
    from_json,
    goal_of,
    require_same_flags,
    to_json,
    with_flags,
)
from minigan.experiment.recorded import add_record, camera_for, record, write_replay
from minigan.experiment.report import MOST_THREADS, choose_threads, describe, draw_figure
from minigan.experiment.resuming import (
    add_resuming,
    changes_of,
    how_to_resume,
    next_free,
)
from minigan.gan import Game
from minigan.parallel.fit import require_shareable
from minigan.parallel.program import mpi_main, processes_here, processes_of
from minigan.training import Trainer, limit_threads, require_free
from minigan.training.callbacks import call_named
from minigan.training.recipe_json import RECIPE
from minigan.training.run import read_run, same_game

DRY = "dry run: nothing was trained or written"
#: A long run's history has about this many rows, by the goal; a shorter one, a row per unit.
ROWS = {"steps": 20, "epochs": 60}


@dataclass(frozen=True)
class Options:
    """What `build` gets besides the recipe.

    Attributes:
        seed: of the weights, the noise, the dropout and the data.
        device: where to train.
        data_dir: the folder with the data files; None if --data-dir was not given.
        dry_run: nothing will be trained.
        resume: an existing run is built again.
    """

    seed: int = 0
    _: KW_ONLY
    device: str = "cpu"
    data_dir: Path | None = None
    dry_run: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        flag("Options: dry_run", self.dry_run)
        flag("Options: resume", self.resume)


@dataclass(frozen=True)
class Experiment:
    """Recipes, and how each becomes a run. `main` is its command line.

    Args:
        name: the figure is NAME.png, and run folders are called NAME-RECIPE-seedN.
        recipes: by name; see `minigan.experiment.recipe`. The default is "stable", or the first.
        build: makes a new game and its data from a recipe and `Options`. It is called when a run
            begins and whenever it is resumed, and must make the same each time.
        help: the text of --help, with the recipes and some examples.
        title: of the figure; by default `name`.
        data_dir: the help of --data-dir, for an experiment whose data are files.
        settle: called with the recipe and the data when a run begins. It returns the recipe to
            keep with the run, without "auto".
        watch: called with the trainer and the recipe before training: for `trainer.every`.
        finish: called with the trainer and the recipe after training; returns what to print, as
            {title: value}. By default it draws the figure for the form of the data.
        folder: the name of a run folder, in which {fields} of the recipe and {seed} are filled in.
        files: a folder that holds one of these names is not free, even without a run.
        checkpoint_every: epochs (or steps) between checkpoints, at least those between rows.

    Raises:
        ConfigError: an invalid recipe or setting.
    """

    name: str
    recipes: Mapping[str, Any]
    build: Callable[[Any, Options], tuple[Game, DataSource]]
    help: str | None
    title: str = ""
    data_dir: str = ""
    settle: Callable[[Any, Any], Any] | None = None
    watch: Callable[[Trainer, Any], None] | None = None
    finish: Callable[[Trainer, Any], dict[str, Any] | None] | None = None
    folder: str = ""
    files: Sequence[str] = ()
    checkpoint_every: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise ConfigError(f"an experiment's name is part of file names, so not {self.name!r}")
        if self.checkpoint_every is not None:
            whole("Experiment: checkpoint_every", self.checkpoint_every, 1)
        check_recipes(self.recipes)

    def recipe(self, name: str | None = None) -> Any:
        """The recipe of a name, or the default one."""
        name = name or ("stable" if "stable" in self.recipes else next(iter(self.recipes)))
        if name not in self.recipes:
            known = ", ".join(sorted(self.recipes))
            raise ConfigError(f"{self.name}.py has no recipe {name!r}; choose from {known}")
        return self.recipes[name]

    def main(self, argv: list[str] | None = None) -> int:
        """Run the experiment from the command line; returns the exit code.

        Under `mpiexec` rank 0 does, and the other ranks take part in its steps.
        """
        name = f"{self.name}.py"

        def work() -> int:
            args = self.parse(argv)
            return guard(name, lambda: self.run(args), lambda: how_to_resume(args))

        return guard(name, lambda: mpi_main(lambda: guard(name, work)) or 0)

    def parse(self, argv: list[str] | None = None) -> argparse.Namespace:
        """The flags. None stands for "not given", so that --resume can tell."""
        parser = argparse.ArgumentParser(
            prog=f"{self.name}.py",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=None if self.help is None else self.help.replace("%", "%%"),
        )
        default, words = self.recipe(), {"name": "RECIPE", "seed": "N"}
        folder = re.sub(r"{(\w+)}", lambda m: words.get(m[1], m[1].upper()), self._pattern)
        add = parser.add_argument
        settings = f"the settings to train with (default: {default.name})"
        add("--recipe", choices=sorted(self.recipes), help=settings)
        add_flags(parser, self.recipes)
        if self.data_dir:
            add("--data-dir", type=path, metavar="DIR", help=self.data_dir)
        of_all = "of the weights, the noise, the dropout and the data (default: 0)"
        add("--seed", type=seed, metavar="N", help=of_all)
        add_device(parser)
        add(
            "--no-graph",
            action="store_true",
            help="call each kernel of each step, instead of replaying a recorded step (on a GPU a "
            "CUDA graph); slower",
        )
        add(
            "--threads",
            type=positive,
            metavar="N",
            help=f"for matrix products (default: the machine's cores, at most {MOST_THREADS}, or "
            "one if the networks are too narrow to gain)",
        )
        add(
            "--workers",
            type=positive,
            default=1,
            metavar="N",
            help="how many processes take each step together, each with a share of the batch; "
            "--threads is then for each of them (default: 1)",
        )
        out = f"the run folder (default: a new one, runs/{folder})"
        add("--out", type=path, metavar="DIR", help=out)
        add_resuming(parser)
        add_record(parser)
        if self.finish is None:
            add("--show", action="store_true", help="also open the figure in a window")
        add("--dry-run", action="store_true", help="say what would be done, and do nothing")
        return parser.parse_args(argv)

    def run(self, args: argparse.Namespace) -> int:
        """Run the experiment with these flags; raises what `main` reports."""
        device_name(args.device)  # first: an unusable device
        processes_here(args.workers)  # an error, if these are not the only ones
        args.changes = changes_of(args, goal_of(self.recipe()))
        if self.finish is None and not args.dry_run:
            plots.new_figure()  # before training: a broken Matplotlib
            if args.show:
                plots.require_window()
        trainer, recipe = self._resumed(args) if args.resume else self._started(args)
        if trainer is None or args.dry_run:
            print(DRY)
            return 0
        with limit_threads(args.threads):
            made = self._train(trainer, recipe, args)
        for title, value in {"run folder": trainer.out, **made}.items():
            shown = str(value).replace(str(trainer.out), str(args.out))  # as --out gave it
            print(f"{title:<10} {shown}")
        return 0

    def _built(self, recipe: Any, args: argparse.Namespace) -> tuple[Game, DataSource]:
        """The game and its data; sets the camera, and the threads, if --threads does not."""
        data_dir = getattr(args, "data_dir", None)
        options = Options(
            args.seed,
            device=args.device,
            data_dir=data_dir,
            dry_run=args.dry_run,
            resume=args.resume,
        )
        try:
            made: Any = self.build(recipe, options)
        except UNEXPECTED as error:
            if isinstance(error, MiniganError) or not args.resume:
                raise
            self.build(self.recipe(), options)  # if this fails, too, the code is at fault
            raise CheckpointError(
                f"{args.out} has a recipe that cannot be built: {type(error).__name__}: {error}"
            ) from error
        match made:
            case (Game() as game, DataSource() as data):
                pass
            case _:
                raise ConfigError(f"build must return (game, data source), not {made!r}")
        if game.ops is not get_backend(args.device):
            raise ConfigError(f"{self.name}.py builds its game on another device than --device")
        if (processes := processes_of(args.workers)) > 1:
            require_shareable(game, recipe.batch, processes)
        args.threads = args.threads or choose_threads(game, recipe.batch, args.workers)
        args.camera = camera_for(game, data, args)
        return game, data

    def _train(self, trainer: Trainer, recipe: Any, args: argparse.Namespace) -> dict[str, Any]:
        """Train to the goal, and finish; returns what to print."""
        if self.watch is not None:
            self.watch(trainer, recipe)
        record(trainer, args)
        goal = goal_of(recipe)
        end: dict[str, Any] = {goal: getattr(recipe, goal)}
        how = {"threads": args.threads, "workers": args.workers}
        trainer.fit(**end, **how, capture=not args.no_graph)
        after = f"called after training (the run in {args.out} is saved)"
        if self.finish is None:
            title = f"{self.title or self.name}, recipe {recipe.name!r}, seed {args.seed}"
            made = call_named(draw_figure, after, f"{self.name}.png", title, trainer, args.show)
        else:
            made = call_named(self.finish, after, trainer, recipe)
        if made is not None and not isinstance(made, dict):
            raise ConfigError(f"finish must return {{title: value}} or None, not {made!r}")
        pages = {} if args.camera is None else call_named(write_replay, after, trainer)
        return {**(made or {}), **pages}

    # -- a new run --------------------------------------------------------------------------

    def _started(self, args: argparse.Namespace) -> tuple[Trainer | None, Any]:
        """The trainer of a new run, or None in a dry run; and the recipe."""
        if args.out is not None:
            require_free(args.out, *self.files)
        args.seed = args.seed or 0
        recipe = with_flags(self.recipe(args.recipe), args)
        game, data = self._built(recipe, args)
        if self.settle is not None:
            recipe = self.settle(recipe, data)
        goal = goal_of(recipe)
        if getattr(recipe, goal) == AUTO:
            raise ConfigError(f"settle must replace {AUTO!r} by a number of {goal}")
        in_steps = goal == "steps"
        if not in_steps and data.size is None:
            raise ConfigError("these data have no end, so no epochs: give the recipe `steps`")
        every = max(1, getattr(recipe, goal) // ROWS[goal])
        settings = {
            "batch": recipe.batch,
            "print_every": every,
            "checkpoint_every": max(self.checkpoint_every or 1, every),
            "unit": "step" if in_steps else "epoch",
            "recipe": to_json(recipe, args.seed),
            "on_nan": args.on_nan or "stop",
            "score": _score_on(data),
        }
        makes = args.out is None and not args.dry_run
        args.out = args.out or next_free(self._folder(recipe, args.seed), makes)
        try:
            describe(recipe, game, data, args)
            trainer = None if args.dry_run else Trainer(game, data, args.out, **settings)
        except BaseException:
            if makes:
                with contextlib.suppress(OSError):
                    args.out.rmdir()  # if it is still empty
            raise
        return trainer, recipe

    # -- an existing run --------------------------------------------------------------------

    def _resumed(self, args: argparse.Namespace) -> tuple[Trainer, Any]:
        """The trainer of the run that --resume means, and its recipe. This only reads."""
        args.out = args.out or self._latest(args)
        goal = goal_of(self.recipe())
        asked = args.changes.get(f"recipe.{goal}")
        files = read_run(args.out)
        recipe, seed = from_json(args.out, files.description["recipe"], self.recipes)
        require_same_flags(args.out, args, recipe, seed)
        args.seed = seed
        changed = asked not in (None, getattr(recipe, goal))
        if changed:
            recipe = dataclasses.replace(recipe, **{goal: asked})
        game, data = self._built(recipe, args)
        try:
            same_game(args.out, files.description, game, args.device)
        except CheckpointError as error:
            if changed:
                raise ConfigError(
                    f"{error}; it cannot continue to {asked} {goal}: start a new run"
                ) from error
            raise CheckpointError(f"{error}; undo that change, or start a new run") from error
        settings = {"changes": args.changes, "score": _score_on(data)}
        trainer = Trainer.resume(files, gan=game, data=data, device=args.device, **settings)
        done = trainer.gan.step_count
        if asked is not None and trainer.step_of(**{goal: asked}) < done:
            come = f"epoch {trainer.epoch}" if goal == "epochs" else f"step {done}"
            raise ConfigError(f"{args.out} has come to {come} already, past {asked}")
        describe(recipe, game, data, args)  # with the present learning rates
        if done:
            epoch = f"epoch {trainer.epoch:,}, " if trainer.unit == "epoch" else ""
            end = trainer.step_of(**{goal: getattr(recipe, goal)})
            rest = "; there is nothing left to train" if done >= end else ""
            print(f"continuing after {epoch}step {done:,}{rest}")
        if args.dry_run:
            for field, (old, new) in trainer.changes.items():
                print(f"would set {field}: {old} -> {new}")
        return trainer, recipe

    # -- names ------------------------------------------------------------------------------

    @property
    def _pattern(self) -> str:
        return self.folder or f"{self.name}-{{name}}-seed{{seed}}"

    def _folder(self, recipe: Any, seed: int) -> Path:
        """The default run folder, without the number that may be added to it."""
        return Path("runs") / self._pattern.format(**_in_names(recipe, seed))

    def _latest(self, args: argparse.Namespace) -> Path:
        """The latest run in a default folder of the recipe and seed that the flags choose."""
        recipe, seed = with_flags(self.recipe(args.recipe), args), args.seed or 0
        fields = {
            name: r"\w+" if value == AUTO else re.escape(str(value))
            for name, value in _in_names(recipe, seed).items()
        }
        name = re.compile(self._pattern.format(**fields) + r"(-\d+)?")
        files = [
            file
            for file in Path("runs").rglob(RECIPE)
            if name.fullmatch(file.parent.relative_to("runs").as_posix())
        ]
        latest = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
        return self._folder(recipe, seed) if latest is None else latest.parent


def _in_names(recipe: Any, seed: int) -> dict[str, Any]:
    """The fields of a recipe as they are part of a folder's name: of a file, its own name."""
    fields = to_json(recipe, seed).items()
    return {name: Path(value).name if isinstance(value, str) else value for name, value in fields}


def _score_on(data: DataSource) -> Callable[[Game], float]:
    """The score of a game by which its best checkpoint is chosen, under its name."""
    form = form_of(data)

    def score(game: Game) -> float:
        return form.quick_score(data, game)

    score.__name__ = score.__qualname__ = form.quick_name
    return score
