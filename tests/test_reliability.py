"""Nothing lost: killed, interrupted, starved, run twice; see docs/reliability.md."""

from __future__ import annotations

import copy
import dataclasses
import errno
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from harness import networks, served, start
from running import ROOT, load_example
from threadpoolctl import threadpool_limits

import minigan as mg
from minigan import errors, files
from minigan.cli.main import main as minigan
from minigan.training.history import History
from minigan.training.lock import LOCK, WRITER, WriterLock

HARNESS = ROOT / "tests" / "harness.py"
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")
gaussian1d = load_example("gaussian1d")


def spawn(folder: Path, *flags: object, **options: object) -> subprocess.Popen:
    """The harness as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(HARNESS), str(folder), *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **options,
    )


def finish(folder: Path, *flags: object, code: int = 0, **options: object) -> str:
    """Run the harness to its end; returns what it said on stderr."""
    process = spawn(folder, *flags, **options)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return err


def contents(folder: Path) -> dict[str, bytes]:
    names = ("checkpoint.safetensors", "best.safetensors", "history.csv", "recipe.json")
    return {name: (folder / name).read_bytes() for name in names}


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(files.TEMPORARY)]


# -- killed ---------------------------------------------------------------------------


def kill_and_resume(kills: int, folder: Path) -> int:
    """Kill runs in training at random times and resume each; how many died inside a write?"""
    process = spawn(folder / "whole")
    process.stdout.readline()  # "training": before that there is nothing to lose
    started = time.perf_counter()
    process.communicate()
    duration = time.perf_counter() - started
    whole, killed, inside = contents(folder / "whole"), 0, 0
    dice = random.Random(kills)
    for k in range(10 * kills):
        cut = folder / f"cut{k}"
        process = spawn(cut)
        process.stdout.readline()
        time.sleep(dice.uniform(0.0, duration))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL  # else it was done already
        inside += bool(leftovers(cut))
        finish(cut)
        assert contents(cut) == whole, k
        assert leftovers(cut) == []
        if killed == kills:
            return inside
    raise AssertionError(f"only {killed} runs could be killed")


@POSIX
def test_killed_five_times_and_never_seen(tmp_path):
    kill_and_resume(5, tmp_path)


@POSIX
@pytest.mark.slow
def test_killed_fifty_times_and_never_seen(tmp_path, capsys):
    inside = kill_and_resume(50, tmp_path)
    with capsys.disabled():
        print(f"\n50 kills, {inside} of them inside a write")
    assert inside > 0


@pytest.fixture(scope="module")
def scored_whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of a run of 40 steps, with a score, that was not interrupted."""
    folder = tmp_path_factory.mktemp("scored") / "whole"
    start(folder, score=lambda gan: -gan.step_count).fit(steps=40)
    return contents(folder)


@pytest.mark.parametrize("at", range(16))
def test_killed_between_any_two_renamings(at, scored_whole, tmp_path, monkeypatch):
    """Every order in which the files of a save can be left behind."""

    class Killed(BaseException):
        pass

    replace, calls = Path.replace, []

    def dying(self: Path, target: Path) -> Path:
        if len(calls) == 8 + at:
            raise Killed
        calls.append(target)
        return replace(self, target)

    trainer = start(tmp_path / "cut", score=lambda gan: -gan.step_count)
    monkeypatch.setattr(Path, "replace", dying)
    monkeypatch.setattr(Path, "unlink", lambda *args, **options: None)  # the dead do not tidy up
    with pytest.raises(Killed):
        trainer.fit(steps=40)
    monkeypatch.undo()
    mg.Trainer.resume(
        tmp_path / "cut", score=lambda gan: -gan.step_count, progress=False
    ).fit(steps=40)  # fmt: skip
    assert contents(tmp_path / "cut") == scored_whole
    assert leftovers(tmp_path / "cut") == []


def test_what_is_written_reaches_the_disk_in_order(tmp_path, monkeypatch):
    """Content, then name, then folder: so a power failure leaves the old file or the new one."""
    happened = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: happened.append("fsync") or fsync(handle))
    monkeypatch.setattr(
        Path, "replace", lambda self, target: happened.append("rename") or replace(self, target)
    )
    files.write_whole(tmp_path / "x", b"data")
    assert happened == ["fsync", "rename"] + ([] if os.name == "nt" else ["fsync"])
    happened.clear()
    History(tmp_path / "x", ("step",)).append({"step": 1})
    assert happened == ["fsync"]


def test_there_is_a_checkpoint_at_every_moment(tmp_path, monkeypatch):
    """Whoever reads while another one saves finds the old one or the new one."""
    trainer = start(tmp_path)
    replace = Path.replace

    def looking(self: Path, target: Path) -> Path:
        result = replace(self, target)
        assert mg.load_checkpoint(tmp_path / "checkpoint.safetensors")
        return result

    monkeypatch.setattr(Path, "replace", looking)
    trainer.fit(steps=30)
    monkeypatch.setattr(os, "link", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # links were what did it
        trainer.fit(steps=40)


def test_without_links_a_checkpoint_is_renamed(tmp_path, monkeypatch):
    def unsupported(*args: object) -> None:
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(os, "link", unsupported)
    start(tmp_path).fit(steps=20)
    steps = [
        mg.load_checkpoint(tmp_path / f"{name}.safetensors").metadata["step"]
        for name in ("checkpoint-previous", "checkpoint")
    ]
    assert steps == [15, 20]


def test_windows_waits_for_a_reader(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")
    replace, refused = Path.replace, []

    def read_by_somebody(self: Path, target: Path) -> Path:
        if len(refused) < 3:
            refused.append(target)
            raise PermissionError(errno.EACCES, "in use")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", read_by_somebody)
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    files.write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    refused.clear()
    monkeypatch.setattr(files, "WINDOWS", False)
    with pytest.raises(mg.FileError, match="in use"):
        files.write_whole(tmp_path / "x", b"newer")


def test_leftovers_of_the_living_stay(tmp_path):
    """And so do all files of other names, however old, at any depth."""
    start(tmp_path).fit(steps=10)
    (tmp_path / "notes").mkdir()
    random = f"{files.TEMPORARY}0123456789abcdef"
    ours, *others = (
        tmp_path / name
        for name in (
            f"{random}-checkpoint.safetensors",
            f"{random}-scores.json",
            f"notes/{random}-checkpoint.safetensors",
            "notes/.tmp-mine",
            ".tmp-1-checkpoint.safetensors",
        )
    )
    for file in (ours, *others):
        file.write_bytes(b"half")
        os.utime(file, (1e9, 1e9))
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=20)
    assert not ours.exists()
    assert all(file.exists() for file in others)


# -- interrupted ----------------------------------------------------------------------


@POSIX
def test_a_signal_saves_and_says_how_to_go_on(tmp_path):
    """Of an example: the run that was stopped twice ends like the one that never was."""
    script = [sys.executable, str(ROOT / "examples" / "gaussian1d.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = ["--recipe", "article", "--steps", "2000"]
    assert gaussian1d.main([*flags, "--out", str(whole)]) == 0
    for signum, code, more in ((signal.SIGINT, 130, flags), (signal.SIGTERM, 143, ["--resume"])):
        stop_after_two_rows([*script, *more, "--out", str(cut)], environment, cut, signum, code)
    assert gaussian1d.main(["--resume", "--out", str(cut)]) == 0
    for name in ("checkpoint.safetensors", "best.safetensors", "history.csv", "gaussian1d.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name


def stop_after_two_rows(command, environment, cut, signum, code):
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    for _ in range(2):  # the second row: training goes on
        while not (line := process.stdout.readline()).startswith("step"):
            assert line, process.stderr.read()
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "--resume" in err
    step = mg.load_checkpoint(cut / "checkpoint.safetensors").metadata["step"]
    assert f"saved at step {step}" in err
    assert 200 <= step < 2000
    assert not (cut / WRITER).exists()


def signalling() -> mg.Gaussian:
    """Data during whose 37th batch a signal comes."""

    def send(number: int, out: np.ndarray) -> None:
        if number == 37:
            os.kill(os.getpid(), signal.SIGINT)

    return served(mg.Gaussian(), send)


@POSIX
def test_the_step_is_finished_and_saved(tmp_path):
    trainer = start(tmp_path, data=signalling(), print_every=1000, checkpoint_every=1000)
    with pytest.raises(mg.Interrupted, match="saved at step 37") as caught:
        trainer.fit(steps=90)
    assert caught.value.signum == signal.SIGINT
    assert isinstance(caught.value, KeyboardInterrupt)
    assert mg.load_run(tmp_path).gan.step_count == 37
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=90)
    start(tmp_path / "whole", print_every=1000, checkpoint_every=1000).fit(steps=90)
    for name in ("checkpoint.safetensors", "history.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@POSIX
@pytest.mark.parametrize("moment", ["_add_row", "save", "_advance"])
@pytest.mark.parametrize("at", [10, 40])
def test_a_signal_at_any_moment_of_a_turn(moment, at, tmp_path, monkeypatch):
    """After the row, after the save, before the next step, and at the goal: saved, no row twice."""
    method = getattr(mg.Trainer, moment)

    def then_signal(self: mg.Trainer, *args: object, **options: object) -> object:
        if moment == "_advance" and self.gan.step_count == at - 10:
            os.kill(os.getpid(), signal.SIGINT)  # before a step of the turn is made
        result = method(self, *args, **options)
        if moment != "_advance" and self.gan.step_count == at:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    monkeypatch.setattr(mg.Trainer, moment, then_signal)
    trainer = start(tmp_path / "cut", checkpoint_every=10)
    with pytest.raises(mg.Interrupted, match=r"saved at step \d+") as caught:
        trainer.fit(steps=40)
    monkeypatch.undo()
    saved = mg.load_checkpoint(tmp_path / "cut" / "checkpoint.safetensors").metadata["step"]
    assert str(caught.value).endswith(f"saved at step {saved}")
    mg.Trainer.resume(tmp_path / "cut", progress=False).fit(steps=40)
    start(tmp_path / "whole", checkpoint_every=10).fit(steps=40)
    for name in ("checkpoint.safetensors", "history.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "cut" / name).read_bytes() == whole


@POSIX
def test_the_second_signal_ends_at_once(tmp_path):
    process = spawn(tmp_path / "run", "--pause", 30, "--print", 1)
    process.stdout.readline()
    process.stdout.readline()  # a row; after it the run sleeps for half a minute
    process.send_signal(signal.SIGINT)
    assert "once more" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


@POSIX
def test_ignored_signals_stay_ignored_and_handlers_come_back(tmp_path):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        seen = []
        trainer = start(tmp_path)
        trainer.every(1, "row", lambda t: seen.append(signal.getsignal(signal.SIGTERM)))
        trainer.every(1, "row", lambda t: os.kill(os.getpid(), signal.SIGTERM))
        trainer.fit(steps=20)
        assert seen == [signal.SIG_IGN] * 2
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_in_a_thread(tmp_path):
    """Signals are the main thread's; a run in another one trains all the same."""
    thread = threading.Thread(target=lambda: start(tmp_path).fit(steps=20))
    thread.start()
    thread.join()
    assert mg.load_run(tmp_path).gan.step_count == 20


def examples_of(kind: type[BaseException]) -> list[BaseException]:
    """Errors of a class, with the attributes that it may have."""
    if kind is mg.Interrupted:
        return [mg.Interrupted("SIGTERM: saved at step 8", signal.SIGTERM)]
    if kind is mg.DownloadError:
        return [kind("no mirror"), kind("no mirror", offline=True)]
    if kind is mg.FileError:
        return [kind(), kind("no space"), kind(None, "no space"), kind(errno.ENOSPC, "no space")]
    return [kind(), kind("the sentence")]


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_another_process(kind):
    """With its message and its attributes."""
    for error in examples_of(kind):
        error.more = "an attribute"
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(twin) is kind
            assert (str(twin), vars(twin)) == (str(error), vars(error))
            assert getattr(twin, "errno", None) == getattr(error, "errno", None)


def interrupted() -> None:
    raise mg.Interrupted("SIGINT: saved at step 8", signal.SIGINT)


def test_an_interruption_comes_back_from_a_pool():
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(mg.Interrupted, match="saved at step 8") as caught,
    ):
        pool.submit(interrupted).result()
    assert caught.value.signum == signal.SIGINT


# -- two writers ----------------------------------------------------------------------


def test_the_second_writer_is_refused_and_the_first_one_named(tmp_path):
    first = spawn(tmp_path / "run", "--pause", 60)
    first.stdout.readline()
    first.stdout.readline()
    try:
        started = time.perf_counter()
        with pytest.raises(mg.BusyError, match=rf"process {first.pid} .*harness\.py") as caught:
            mg.Trainer.resume(tmp_path / "run")
        assert time.perf_counter() - started < 30.0  # refused: the writer holds it for a minute
        assert isinstance(caught.value, mg.MiniganError)
        err = finish(tmp_path / "run", code=2)
        assert f"is being written by process {first.pid}" in err
        before = contents(tmp_path / "run")
    finally:
        first.kill()
        first.communicate()
    assert contents(tmp_path / "run") == before  # the second one touched nothing
    err = finish(tmp_path / "run")
    assert f"taking over from process {first.pid}" in err
    assert not (tmp_path / "run" / WRITER).exists()
    assert "taking over" not in finish(tmp_path / "run")


def test_two_trainers_of_one_process(tmp_path):
    first = start(tmp_path)
    second = mg.Trainer.resume(tmp_path, progress=False)
    first.every(1, "row", lambda t: second.fit(steps=20))
    with pytest.raises(mg.BusyError, match=f"process {os.getpid()} "):
        first.fit(steps=20)
    with pytest.raises(mg.BusyError, match="resume it again"):  # its checkpoint is of old
        second.fit(steps=20)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=20)  # the first one gave it back


def test_a_lock_that_nobody_signed_is_a_lock(tmp_path):
    start(tmp_path)
    with WriterLock(tmp_path):
        for junk in ("", "[]", "[" * 100_000):
            (tmp_path / WRITER).write_text(junk)
            with pytest.raises(mg.BusyError, match="another process"):
                mg.Trainer.resume(tmp_path)
    assert not (tmp_path / LOCK).exists() or (tmp_path / LOCK).stat().st_size == 0


def test_a_lock_that_leads_elsewhere_is_refused(tmp_path):
    start(tmp_path / "run").fit(steps=10)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = tmp_path / "run" / LOCK
    lock.unlink(missing_ok=True)
    lock.symlink_to(victim)
    assert minigan(["show", str(tmp_path / "run")]) == 0
    with pytest.raises(mg.FileError, match="it is a symbolic link"):
        mg.Trainer.resume(tmp_path / "run", progress=False).fit(steps=20)
    assert victim.read_text() == "precious"


def test_a_trainer_that_was_overtaken_is_refused(tmp_path):
    first = start(tmp_path)
    first.fit(steps=10)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=30)
    for late in (lambda: first.fit(steps=20), first.save):
        with pytest.raises(mg.BusyError, match="resume it again"):
            late()
    assert mg.load_run(tmp_path).gan.step_count == 30


# -- starved --------------------------------------------------------------------------


@POSIX
def test_a_full_disk_costs_nothing_but_the_rest(tmp_path):
    """A limit on the size of files stands for the disk: writes fail in the middle."""
    import resource

    run = tmp_path / "run"
    finish(run, "--steps", 9)
    size = (run / "checkpoint.safetensors").stat().st_size
    before = contents(run)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    err = finish(run, "--steps", 30, code=1, preexec_fn=limited)
    assert "cannot write" in err
    assert "checkpoint.safetensors" in err or "best.safetensors" in err
    assert "Traceback" not in err
    assert leftovers(run) == []
    assert contents(run)["checkpoint.safetensors"] == before["checkpoint.safetensors"]
    finish(run, "--steps", 30)
    finish(tmp_path / "whole", "--steps", 30)
    name = "checkpoint.safetensors"
    assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_row_that_did_not_fit_leaves_no_half(tmp_path, monkeypatch):
    trainer = start(tmp_path / "cut")
    fsync = os.fsync

    def full(handle: int) -> None:
        if trainer.gan.step_count == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(mg.FileError, match=r"history\.csv: No space left"):
        trainer.fit(steps=40)
    monkeypatch.undo()
    text = (tmp_path / "cut" / "history.csv").read_text()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 2  # the header, and row 10
    mg.Trainer.resume(tmp_path / "cut", progress=False).fit(steps=40)
    start(tmp_path / "whole").fit(steps=40)
    assert (tmp_path / "cut" / "history.csv").read_bytes() == (
        tmp_path / "whole" / "history.csv"
    ).read_bytes()


@pytest.mark.parametrize("goal", [10, 30])
def test_a_row_that_failed_is_written_by_the_next_fit(goal, tmp_path, monkeypatch):
    trainer = start(tmp_path / "cut")

    def full(self: History, row: dict) -> None:
        raise mg.FileError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(History, "append", full)
        with pytest.raises(mg.FileError):
            trainer.fit(steps=goal)
    trainer.fit(steps=goal)
    start(tmp_path / "whole").fit(steps=goal)
    for name in ("checkpoint.safetensors", "history.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "cut" / name).read_bytes() == whole


def test_a_save_that_failed_is_made_by_the_next_fit(tmp_path, monkeypatch):
    trainer = start(tmp_path)
    fsync = os.fsync
    monkeypatch.setattr(
        files.os, "fsync", lambda h: 1 / 0 if trainer.gan.step_count == 20 else fsync(h)
    )
    monkeypatch.setattr(History, "append", lambda self, row: None)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(steps=20)
    monkeypatch.undo()
    assert mg.load_run(tmp_path).gan.step_count == 15
    trainer.fit(steps=20)
    assert mg.load_run(tmp_path).gan.step_count == 20


def test_a_beginning_changed_by_hand_is_kept(tmp_path):
    gan, data = networks(), mg.Gaussian()
    gan.generator.parameters.data *= 0.5
    data.stream.position = 77
    mg.Trainer(gan, data, tmp_path, batch=8, progress=False)
    resumed = mg.Trainer.resume(tmp_path, progress=False)
    np.testing.assert_array_equal(
        resumed.gan.generator.parameters.data, gan.generator.parameters.data
    )
    assert resumed.data.state() == {"position": 77}


def test_a_run_without_any_checkpoint_is_refused_and_its_history_stays(tmp_path):
    start(tmp_path).fit(steps=20)
    before = (tmp_path / "history.csv").read_bytes()
    for file in tmp_path.glob("checkpoint*"):
        file.unlink()
    with pytest.raises(mg.CheckpointError, match="there is no checkpoint"):
        mg.Trainer.resume(tmp_path)
    assert (tmp_path / "history.csv").read_bytes() == before


def test_a_start_that_fails_leaves_the_folder_free(tmp_path, monkeypatch):
    monkeypatch.setattr(History, "start", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        start(tmp_path)
    monkeypatch.undo()
    start(tmp_path).fit(steps=5)


@pytest.mark.parametrize("step", ["open", "fsync", "rename", "folder"])
def test_an_error_anywhere_in_a_write_leaves_the_old_file(step, tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.write_bytes(b"old")
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*args: object, **options: object) -> None:
        raise full

    if step == "rename":
        monkeypatch.setattr(Path, "replace", fail)
    elif step in ("open", "fsync"):
        monkeypatch.setattr(os, step, fail)
    else:
        monkeypatch.setattr(files, "sync_folder", fail)
    with pytest.raises(mg.FileError, match="No space left") as caught:
        files.write_whole(file, b"new")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert file.read_bytes() == (b"new" if step == "folder" else b"old")
    assert leftovers(tmp_path) == []


# -- the same -------------------------------------------------------------------------


def first_losses(threads: int) -> dict[str, float]:
    mnist = load_example("mnist")
    with threadpool_limits(limits=threads, user_api="blas"):
        gan = mnist.build(mnist.RECIPES["stable"], 784, 60_000)
        real = np.random.default_rng(0).uniform(-1.0, 1.0, (100, 784)).astype(np.float32)
        gan.step(real)
        return gan.losses()


def test_one_or_two_blas_threads_agree_in_the_first_step():
    one, two = first_losses(1), first_losses(2)
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("threads", [1, 2])
def test_equal_threads_give_equal_bits(threads):
    assert first_losses(threads) == first_losses(threads)


@pytest.mark.slow
@POSIX
def test_two_hundred_thousand_steps_leave_memory_and_files_flat(tmp_path, capsys):
    """The 1-D experiment, ten times as long: what grows by a little each step would show."""

    def resident() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])  # KiB
        raise AssertionError

    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    recipe = dataclasses.replace(gaussian1d.RECIPES["article"], steps=200_000)
    gan, data = gaussian1d.build(recipe)
    trainer = mg.Trainer(
        gan, data, tmp_path, batch=recipe.batch, print_every=500, progress=False,
        score=lambda gan: float(gan.sample(1000, seed=0).std()),
    )  # fmt: skip
    sizes, handles = [], []

    def look(trainer: mg.Trainer) -> None:
        sizes.append(resident())
        handles.append(len(list(Path("/proc/self/fd").iterdir())))

    trainer.every(1, "row", look)
    with threadpool_limits(limits=1, user_api="blas"):
        trainer.fit(steps=200_000)
    warm = len(sizes) // 20  # after 10,000 steps
    growth = max(sizes[warm:]) - sizes[warm]
    with capsys.disabled():
        print(f"\nresident: {sizes[warm]} KiB after warm-up, {growth} KiB more at most;",
              f"file handles {min(handles)} to {max(handles)}")  # fmt: skip
    assert growth <= 5 * 1024
    assert max(handles) == min(handles)


def test_a_run_folder_can_be_moved(tmp_path):
    """A run folder is only files: copied elsewhere it resumes there."""
    start(tmp_path / "here").fit(steps=20)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    mg.Trainer.resume(tmp_path / "there", progress=False).fit(steps=40)
    start(tmp_path / "whole").fit(steps=40)
    for name in ("checkpoint.safetensors", "history.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
