"""Functions that are called during training: when, in which order, and what their failures do."""

from __future__ import annotations

import errno
import fractions
import functools
import math
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import half_a_second_a_step, on_samples, spread, start

import minigan as mg
from minigan import errors
from minigan.command_line import guard
from minigan.training.run_folder import RunFolder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("[!.]*")}


def broken(error: BaseException, at: int = 1) -> Callable[[mg.Trainer], None]:
    """A function that raises an error when it is called for the `at`-th time."""
    calls = []

    def fails(trainer: mg.Trainer) -> None:
        calls.append(trainer)
        if len(calls) == at:
            raise error

    return fails


# -- when -------------------------------------------------------------------------------


def noted(trainer: mg.Trainer, n: int, unit: str) -> list[int]:
    """The steps at which a function is called."""
    steps: list[int] = []
    trainer.every(n, unit, lambda trainer: steps.append(trainer.gan.step_count))
    return steps


@pytest.mark.parametrize("n", [1, 7, 30, 31])
def test_every_so_many_steps(n, tmp_path):
    trainer = start(tmp_path, print_every=100, checkpoint_every=100)
    steps = noted(trainer, n, "step")
    trainer.fit(steps=12)
    trainer.fit(steps=30)
    assert steps == [*range(n, 31, n)]


@pytest.mark.parametrize(("n", "expected"), [(1, [4, 8, 12, 16, 18]), (2, [8, 16]), (3, [12])])
def test_every_so_many_rows(n, expected, tmp_path):
    """The one at the goal is a row, too."""
    trainer = start(tmp_path, print_every=4)
    steps = noted(trainer, n, "row")
    trainer.fit(steps=18)
    assert steps == expected


def test_rows_are_counted_past_those_that_are_kept_in_mind(tmp_path):
    trainer = start(tmp_path, print_every=1)
    steps = noted(trainer, 7, "row")
    trainer.fit(steps=50)
    assert steps == [*range(7, 51, 7)]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("size", "batch"), [(10, 5), (7, 3), (25, 6), (2, 9), (1, 4)])
@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_every_so_many_epochs(n, size, batch, unit, tmp_path):
    """Whatever the run counts in. Epochs that end within one step are one call."""
    data = mg.Samples(np.zeros((size, 1)))
    trainer = start(tmp_path, data=data, batch=batch, unit=unit, print_every=50)
    steps, epochs = noted(trainer, n, "epoch"), []
    trainer.every(n, "epoch", lambda trainer: epochs.append(trainer.epoch))
    trainer.fit(epochs=9)
    ends = {-(-epoch * size // batch) for epoch in range(n, 10, n)}
    assert steps == sorted(ends)
    assert epochs == [step * batch // size for step in steps]


@pytest.mark.parametrize("unit", ["step", "epoch", "row"])
def test_a_resumed_run_calls_at_the_steps_of_a_whole_one(unit, tmp_path):
    """Those after its checkpoint; also if it was cut off before the next one."""
    data = [mg.Samples(np.arange(25.0)[:, None], seed=1) for _ in range(3)]
    settings = {"batch": 6, "print_every": 4, "checkpoint_every": 8}
    whole = start(tmp_path / "whole", data=data[0], **settings)
    expected = noted(whole, 3, unit)
    whole.fit(steps=48)
    cut = start(tmp_path / "cut", data=data[1], **settings)
    before = noted(cut, 3, unit)
    cut.every(21, "step", broken(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        cut.fit(steps=48)
    assert before == [step for step in expected if step <= 21]
    resumed = mg.Trainer.resume(tmp_path / "cut", data=data[2], progress=False)
    after = noted(resumed, 3, unit)
    resumed.fit(steps=48)
    assert after == [step for step in expected if step > 16] != expected
    for name in ("checkpoint.safetensors", "history.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_they_are_called_in_the_order_given_with_their_arguments(tmp_path):
    trainer, calls = start(tmp_path), []

    def note(*args: object) -> None:
        calls.append(args)

    trainer.every(4, "step", note, "b", 3)
    trainer.every(1, "row", note)
    trainer.every(2, "step", note, ["a"])
    trainer.every(1, "row", functools.partial(note, "last"))
    trainer.fit(steps=10)
    b, a, row, last = (trainer, "b", 3), (trainer, ["a"]), (trainer,), ("last", trainer)
    assert calls == [a, b, a, a, b, a, row, a, last]


def test_the_row_is_there_before_and_the_checkpoint_after(tmp_path):
    seen = []

    def look(trainer: mg.Trainer) -> None:
        rows = mg.read_history(tmp_path / "history.csv")
        assert rows[-1:] == trainer.history.recent[-1:]
        assert len(rows) == trainer.history.count
        saved = mg.load_checkpoint(tmp_path / "checkpoint.safetensors").metadata["step"]
        seen.append((trainer.gan.step_count, int(rows[-1]["step"]), saved))

    trainer = start(tmp_path, print_every=3, checkpoint_every=3)
    trainer.every(3, "step", look)
    trainer.every(1, "row", look)
    trainer.fit(steps=10)
    assert seen == [(3, 3, 0), (3, 3, 0), (6, 6, 3), (6, 6, 3), (9, 9, 6), (9, 9, 6), (10, 10, 9)]


@pytest.mark.parametrize(
    ("n", "unit", "told"),
    [
        (1, "minute", "every: unit must be one of step, epoch, row, not 'minute'"),
        (1, None, "every: unit must be"),
        *[(n, "step", f"every: n must be an integer >= 1, not {n}") for n in (0, -1, 1.5, True)],
        (0, "row", "every: n must be"),
        (1, "epoch", "this data has no end, so no epochs"),
    ],
)
def test_what_is_no_interval(n, unit, told, tmp_path):
    trainer, calls = start(tmp_path), []
    with pytest.raises(mg.ConfigError, match=f"^.*{told}"):
        trainer.every(n, unit, calls.append)
    trainer.fit(steps=10)
    assert calls == []


# -- what they leave alone ----------------------------------------------------------------


def test_a_run_is_the_same_to_the_byte_with_and_without(tmp_path):
    """They may look, and draw from a seed. (recipe.json and best.safetensors are compared, too.)"""

    def look(trainer: mg.Trainer, width: int) -> None:
        trainer.gan.sample(width, seed=3)
        trainer.gan.generator.predict(np.ones((width, 2), "float32"))
        trainer.data.reference(width)
        trainer.description()
        trainer.history.recent.copy()

    for name, capture in (("without", True), ("with", True), ("uncaptured", False)):
        trainer = start(tmp_path / name, score=spread)
        if name != "without":
            for n, unit in ((1, "step"), (3, "step"), (2, "row")):
                trainer.every(n, unit, look, 5)
        trainer.fit(steps=40, capture=capture)
    assert contents(tmp_path / "without") == contents(tmp_path / "with")
    assert contents(tmp_path / "without") == contents(tmp_path / "uncaptured")
    assert len(contents(tmp_path / "with")) == 5


def test_what_they_change_is_part_of_the_run(tmp_path):
    trainer = start(tmp_path, checkpoint_every=10)

    def halve(trainer: mg.Trainer) -> None:
        trainer.gan.generator.parameters.data *= 0.5

    trainer.every(10, "step", halve)
    trainer.fit(steps=10)
    kept = mg.load_run(tmp_path).gan.generator.parameters.data
    np.testing.assert_array_equal(kept, trainer.gan.generator.parameters.data)


def test_one_that_binds_another_batch_is_told_so(tmp_path):
    trainer = start(tmp_path)
    trainer.every(3, "step", lambda trainer: trainer.gan.bind(4))
    with pytest.raises(mg.ConfigError, match=r"bound to a batch of 4 during .* is 8$"):
        trainer.fit(steps=10)
    assert trainer.gan.step_count == 3


def test_the_speed_is_that_of_training_alone(tmp_path, monkeypatch, capsys):
    now = half_a_second_a_step(monkeypatch)

    def picture(trainer: mg.Trainer) -> None:
        now[0] += 100.0

    trainer = on_samples(tmp_path, print_every=20, checkpoint_every=50, progress=True)
    for n, unit in ((3, "step"), (1, "row"), (1, "epoch")):
        trainer.every(n, unit, picture)
    trainer.fit(steps=50)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in lines] == [["16", "samples/s"]] * 3
    assert now[0] > 2500.0


# -- failures ---------------------------------------------------------------------------

FAMILY = [one for one in vars(errors).values() if isinstance(one, type)]
OURS = [
    one
    for one in FAMILY
    if issubclass(one, mg.MiniganError) and one not in (mg.FileError, mg.NonFiniteError)
]
WHERE = r"^broken\.<locals>\.fails, called after step 3: "


def failure(trainer: mg.Trainer, error: BaseException) -> pytest.ExceptionInfo:
    """What `fit` raises if a function of every third step does."""
    trainer.every(3, "step", broken(error))
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        trainer.fit(steps=10)
    assert trainer.gan.step_count == 3
    return caught


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("boom"), "ValueError: boom$"),
        (ZeroDivisionError(), "ZeroDivisionError$"),
        (KeyError("x"), "KeyError: 'x'$"),
        (StopIteration(), "StopIteration$"),
        (AssertionError("a\nb"), "AssertionError: a b$"),
    ],
    ids=repr,
)
def test_a_failure_names_the_function_and_the_step(error, told, tmp_path):
    caught = failure(start(tmp_path), error)
    assert caught.type is mg.CallbackError
    assert caught.match(WHERE + told)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_minigans_stays_what_it_is(kind, tmp_path):
    error = kind("the reason")
    caught = failure(start(tmp_path), error)
    assert caught.value is error
    assert caught.match(WHERE + "the reason$")


def test_what_an_error_has_beside_its_message_is_kept(tmp_path):
    error = mg.DownloadError("no network", offline=True)
    error.args = ("no network", 5)
    caught = failure(start(tmp_path), error)
    assert caught.value.offline
    assert caught.value.args[1:] == (5,)


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (mg.FileError(errno.ENOSPC, "cannot write x: full"), "cannot write x: full", 1),
        (mg.FileError("no such thing"), "no such thing", 2),
        (OSError(errno.ENOSPC, "No space left", "a.png"), r"No space left: a\.png", 1),
        (OSError(errno.ENOSPC, "No space left"), "No space left", 1),
        (PermissionError(errno.EACCES, "Permission denied", "b"), "Permission denied: b", 2),
        (OSError("odd"), "odd", 2),
    ],
    ids=repr,
)
def test_a_file_that_cannot_be_written_keeps_its_number(error, told, code, tmp_path, capsys):
    """By which the command line knows a full disk, and exits with 1."""
    caught = failure(start(tmp_path / "a"), error)
    assert caught.type is mg.FileError
    assert caught.match(f"{WHERE}{told}$")
    assert caught.value.errno == error.errno
    assert caught.value.__cause__ is error
    trainer = start(tmp_path / "b")
    trainer.every(3, "step", broken(error))
    assert guard("mine", lambda: trainer.fit(steps=5) or 0) == code
    assert capsys.readouterr().err.startswith("mine: error: broken.<locals>.fails, called after")


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), MemoryError(), SystemExit(3), mg.Interrupted("saved", 2)],
    ids=repr,
)
def test_what_is_no_fault_of_the_functions_passes_through(error, tmp_path):
    caught = failure(start(tmp_path), error)
    assert caught.value is error
    assert "called after" not in str(caught.value)


def test_a_signal_while_one_is_called_saves_that_step(tmp_path):
    trainer = start(tmp_path, checkpoint_every=100)
    trainer.every(7, "step", lambda trainer: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(mg.Interrupted, match=r"saved at step 7$"):
            trainer.fit(steps=20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert mg.load_run(tmp_path).gan.step_count == 7


def names(call: object, trainer: mg.Trainer) -> str:
    trainer.every(1, "step", call)
    with pytest.raises(mg.CallbackError) as caught:
        trainer.fit(steps=1)
    return str(caught.value).partition(", called after step 1: ")[0]


class Fails:
    """Something that is called, and has no name."""

    def __call__(self, trainer: mg.Trainer) -> None:
        raise ValueError

    def method(self, trainer: mg.Trainer) -> None:
        raise ValueError

    def __repr__(self) -> str:
        return "mine"


def test_what_has_no_name_is_told_by_what_it_is(tmp_path):
    for k, (call, name) in enumerate(
        [
            (Fails(), "mine"),
            (Fails().method, "Fails.method"),
            (functools.partial(Fails().method), "functools.partial(<bound method Fails.method of"),
        ]
    ):
        assert names(call, start(tmp_path / str(k))).startswith(name)


@pytest.mark.parametrize(
    ("call", "args", "told"),
    [
        (None, (), "None is not a callable object"),
        (lambda: 1, (), "too many positional arguments"),
        (lambda trainer, shape: 1, (), "missing a required argument: 'shape'"),
        (lambda trainer: 1, (5,), "called with the trainer and 1 more: too many"),
    ],
)
def test_what_cannot_be_called_so_is_refused_at_once(call, args, told, tmp_path):
    with pytest.raises(mg.ConfigError, match=f"every: .*{told}"):
        start(tmp_path).every(1, "step", call, *args)


def test_a_step_is_written_as_people_do(tmp_path):
    trainer = start(tmp_path, print_every=5000, checkpoint_every=5000)
    trainer.every(1200, "step", broken(ValueError()))
    with pytest.raises(mg.CallbackError, match=r"called after step 1,200: ValueError$"):
        trainer.fit(steps=2000)


def test_those_before_a_failing_one_were_called(tmp_path):
    trainer = start(tmp_path)
    steps = noted(trainer, 10, "step")
    trainer.every(1, "row", broken(ValueError("no")))
    with pytest.raises(mg.CallbackError, match=r"fails, called after step 10: ValueError: no$"):
        trainer.fit(steps=30)
    assert steps == [10]


@pytest.mark.parametrize("at", [1, 2])  # in the middle, and at the goal
def test_after_a_failure_the_run_goes_on_as_if_there_had_been_none(at, tmp_path):
    """In this trainer, or from the checkpoint. What was due at that step is not done again."""
    start(tmp_path / "whole", score=spread).fit(steps=20)
    for name in ("same", "resumed"):
        trainer = start(tmp_path / name, score=spread)
        trainer.every(10, "step", broken(ValueError(), at))
        steps = noted(trainer, 10, "step")
        with pytest.raises(mg.CallbackError):
            trainer.fit(steps=20)
        assert int(mg.read_history(tmp_path / name / "history.csv")[-1]["step"]) == 10 * at
        assert mg.load_run(tmp_path / name).gan.step_count == 10 * at - 5
        if name == "resumed":
            trainer = mg.Trainer.resume(tmp_path / name, score=spread, progress=False)
        trainer.fit(steps=20)
        assert steps == ([10] if at == 2 else [20] if name == "same" else [])
        for file in ("checkpoint.safetensors", "history.csv", "best.safetensors"):
            whole = (tmp_path / "whole" / file).read_bytes()
            assert (tmp_path / name / file).read_bytes() == whole


@pytest.mark.parametrize("on_nan", ["stop", "rollback"])
def test_an_infinity_of_the_functions_own_is_no_divergence_of_the_run(on_nan, tmp_path):
    """A rollback would not help. What it calls may raise such an error, too."""
    error = mg.NonFiniteError("the sky is NaN")
    trainer = start(tmp_path, on_nan=on_nan)
    caught = failure(trainer, error)
    assert caught.type is mg.CallbackError
    assert caught.match(WHERE + "NonFiniteError: the sky is NaN$")
    assert caught.value.__cause__ is error
    assert (trainer.gan.step_count, trainer.rollbacks) == (3, 0)


def test_a_divergence_that_a_function_has_caused_is_noticed_and_rolled_back(tmp_path):
    trainer = start(tmp_path, on_nan="rollback")

    def spoil(trainer: mg.Trainer) -> None:
        if trainer.rollbacks == 0:
            trainer.gan.generator.parameters.data[0] = np.nan

    trainer.every(7, "step", spoil)
    steps = noted(trainer, 10, "step")
    with np.errstate(all="ignore"):
        trainer.fit(steps=30)
    assert trainer.rollbacks == 1
    assert steps == [10, 20, 30]
    rows = mg.read_history(tmp_path / "history.csv")
    assert [(row["step"], row["rollbacks"]) for row in rows] == [(k, 1) for k in (10, 20, 30)]
    assert trainer.history.count == 3


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (ValueError("no"), mg.CallbackError, "ValueError: no"),
        (mg.DataError("no"), mg.DataError, "no"),
        (mg.NonFiniteError("no"), mg.CallbackError, "NonFiniteError: no"),
        (OSError(errno.ENOSPC, "No space left"), mg.FileError, "No space left"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
    ids=repr,
)
def test_a_score_that_fails_is_named_after_the_checkpoint_was_written(error, kind, told, tmp_path):
    scores = []

    def mine(gan: mg.Game) -> float:
        scores.append(gan.step_count)
        if gan.step_count == 10:
            raise error
        return 1.0

    trainer = start(tmp_path, score=mine, on_nan="rollback")
    with pytest.raises(kind) as caught:
        trainer.fit(steps=20)
    if told is not None:
        assert caught.match(rf"^{re.escape(mine.__qualname__)}, the score after step 10: {told}$")
    assert scores == [5, 10]
    assert mg.load_run(tmp_path).gan.step_count == 10  # saved before it was scored
    assert mg.load_run(tmp_path, best=True).gan.step_count == 5


@pytest.mark.parametrize(
    "value",
    ["good", "1.5", None, True, [1.0], np.zeros(2), np.zeros(0), np.array(["1"]), 1j, 10**400],
    ids=lambda value: repr(value)[:9],
)
def test_a_score_that_is_no_number_is_named(value, tmp_path):
    def mine(gan: mg.Game) -> object:
        return value

    with pytest.raises(mg.CallbackError, match=r"mine, the score after step 5: \w+Error: "):
        start(tmp_path, score=mine).fit(steps=20)
    assert mg.load_run(tmp_path).gan.step_count == 5


@pytest.mark.parametrize(
    "value",
    [2, 2.0, np.float32(2), np.array(2.0), np.array([[2]]), fractions.Fraction(2)],
    ids=repr,
)
def test_a_score_may_be_any_number_or_an_array_of_one(value, tmp_path):
    start(tmp_path, score=lambda gan: value).fit(steps=10)
    best = mg.load_run(tmp_path, best=True)
    assert (best.metadata["step"], best.metadata["score"]) == (5, 2.0)


def test_a_score_that_is_not_finite_is_never_the_best(tmp_path, caplog):
    scores = {5: math.nan, 10: -math.inf, 15: 3.0}
    start(tmp_path, score=lambda gan: scores[gan.step_count]).fit(steps=15)
    assert mg.load_run(tmp_path, best=True).metadata["step"] == 15
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "a score of nan cannot be the best",
        "a score of -inf cannot be the best",
    ]


@pytest.mark.parametrize("how", ["the same trainer", "resumed", "killed before the best"])
def test_a_score_that_failed_is_taken_when_the_run_goes_on(how, tmp_path, monkeypatch):
    """The run ends as if it had not failed, with the same best checkpoint."""

    def falling(gan: mg.Game) -> float:
        return -float(min(gan.step_count, 10))  # 10 is the best step

    def broken(gan: mg.Game) -> float:
        if gan.step_count == 10 and failing:
            raise ValueError("no")
        return falling(gan)

    broken.__name__ = falling.__name__  # which the checkpoints keep
    failing = how != "killed before the best"
    start(tmp_path / "whole", score=falling).fit(steps=20)
    trainer = start(tmp_path / "cut", score=broken)
    with monkeypatch.context() as patch:
        if not failing:
            write = RunFolder.write_scored

            def killed(self: RunFolder, pieces: object, score: float) -> None:
                if score == -10.0:
                    raise KeyboardInterrupt
                write(self, pieces, score)

            patch.setattr(RunFolder, "write_scored", killed)
        with pytest.raises((mg.CallbackError, KeyboardInterrupt)):
            trainer.fit(steps=20)
    assert mg.load_run(tmp_path / "cut").gan.step_count == 10
    failing = False
    if how != "the same trainer":
        trainer = mg.Trainer.resume(tmp_path / "cut", score=broken, progress=False)
    trainer.fit(steps=20)
    for name in ("checkpoint.safetensors", "best.safetensors", "history.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "cut" / name).read_bytes() == whole


def test_what_changed_after_a_failed_score_is_saved_before_anything_is_scored(tmp_path):
    scored, real = [], np.zeros((64, 1))

    def failing(gan: mg.Game) -> float:
        scored.append(gan.step_count)
        raise ValueError("no")

    trainer = start(tmp_path, score=failing)
    with pytest.raises(mg.CallbackError):
        trainer.fit(steps=20)
    trainer.gan.step(real)
    trainer.save()
    assert mg.load_run(tmp_path).gan.step_count == 6
    assert scored == [5]  # no score of another state is taken for it


def test_changes_of_a_run_are_written_before_a_score_that_is_due(tmp_path, monkeypatch):
    """A process that is killed in between leaves a run that can be resumed."""

    def failing(gan: mg.Game) -> float:
        raise ValueError("no")

    with pytest.raises(mg.CallbackError):
        start(tmp_path, score=failing).fit(steps=20)
    changes = {"print_every": 2}
    trainer = mg.Trainer.resume(tmp_path, changes=changes, score=lambda gan: 1.0, progress=False)
    write = RunFolder.write_scored

    def killed(*args: object) -> None:
        write(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_scored", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(steps=20)
    assert mg.Trainer.resume(tmp_path, progress=False).print_every == 2
