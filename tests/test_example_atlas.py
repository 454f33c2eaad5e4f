"""The map of learning rates: members, groups, interruptions, and the picture."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from running import ROOT, contents, differing, load_example

import minigan as mg
from minigan.backend.numpy.subnormals import are_flushed, flushed_subnormals
from minigan.evaluation import maps

example = load_example("atlas")
Member, RECIPES = example.Member, example.RECIPES
SMALL = ("--size", "3", "--seeds", "1", "--steps", "6")  # 2 and 3 groups


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few samples are scored."""
    monkeypatch.setattr(example, "SAMPLES", 500)


def atlas(out: Path, *flags: str) -> int:
    return example.main([*SMALL, "--out", str(out), *flags])


def group(recipe: str, members: list[Any], file: Path, steps: int = 12) -> Any:
    return example.Group(replace(RECIPES[recipe], steps=steps), members, file)


def alone(recipe: str, member: Any, steps: int = 12) -> Any:
    """The samples of a run of one network, not captured."""
    settings = replace(RECIPES[recipe], steps=steps, g_lr=member.g_lr, d_lr=member.d_lr)
    gan, data = example.build(settings, member.seed)
    gan.bind(settings.batch)
    for _ in range(steps):
        data.next_batch(out=gan.real)
        gan.step()
    return gan.sample(example.SAMPLES, example.SAMPLE_SEED)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_member_is_the_single_run_and_does_not_notice_one_that_is_lost(
    recipe, tmp_path, monkeypatch
):
    """Within 1e-5 where a BLAS sums in another order. The third member becomes NaN at once."""
    members = [Member(1e-3, 2e-3, 5), Member(4e-2, 2e-5, 0), Member(1e38, 1e38, 0)]
    members += [Member(4e-6, 1e-1, 1)]
    seen: list[Any] = []
    plain = example.row
    monkeypatch.setattr(example, "row", lambda *args: seen.append(args) or plain(*args))
    assert example.train(group(recipe, members, tmp_path / "rows.csv")) == 4 * 12
    assert [args[1] for args in seen] == members
    for k in (0, 1, 3):
        np.testing.assert_allclose(seen[k][2], alone(recipe, members[k]), rtol=1e-5, atol=1e-6)
    assert not np.isfinite(seen[2][2]).any()
    rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert rows[2] == f"{recipe},1e+38,1e+38,0,nan,nan,nan,0"
    assert [row.split(",")[1:4] for row in rows] == [[*map(str, one)] for one in members]


def test_a_row_says_whether_the_run_is_cleared():
    recipe, member = RECIPES["stable"], Member(1e-3, 2e-3, 7)
    exact = mg.Gaussian().quantile((np.arange(2000) + 0.5) / 2000)[:, None]
    assert example.row(recipe, member, exact).startswith("stable,0.001,0.002,7,4,1.2")
    for samples, cleared in (
        (exact, True),
        (exact + 0.04, True),
        (exact + 0.06, False),
        (4 + 1.06 * (exact - 4), False),  # the standard deviation is 1.32
        (4 + 1.25 * np.sign(exact - 4), False),  # KS 0.34
        (np.where(exact > 7, np.inf, exact), False),
    ):
        assert example.row(recipe, member, samples).endswith(f",{cleared:d}\n")


def test_the_grid_has_all_pairs_and_the_marked_points_are_inside():
    args = argparse.Namespace(size=10, seeds=3, steps=None, out=Path("out"))
    groups = example.groups_of(args)
    for name, size in example.GROUP.items():
        own = [one for one in groups if one.recipe.name == name]
        assert {one.recipe.steps for one in own} == {RECIPES[name].steps}
        assert max(len(one.members) for one in own) == size
        assert len({member for one in own for member in one.members}) == 10 * 10 * 3
    assert len({one.file for one in groups}) == len(groups)
    for recipe in RECIPES.values():
        assert min(recipe.g_lr, recipe.d_lr) > example.FROM * 2
        assert max(recipe.g_lr, recipe.d_lr) < example.TO / 2


def test_an_interrupted_map_goes_on_and_is_the_same(tmp_path, monkeypatch, capsys):
    assert atlas(tmp_path / "whole") == 0
    train, trained = example.train, []

    def interrupted(one: Any) -> int:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(one.file.name)
        return train(one)

    monkeypatch.setattr(example, "train", interrupted)
    assert atlas(tmp_path / "cut") == 130
    assert not (tmp_path / "cut" / "map.csv").exists()
    leftover = tmp_path / "cut" / "groups" / ".minigan-0123456789abcdef-stable-0000.csv"
    leftover.write_text("a row of a worker that was kil")
    monkeypatch.setattr(example, "train", lambda one: trained.append(one.file.name) or train(one))
    assert atlas(tmp_path / "cut") == 0
    assert sorted(trained) == sorted({*trained})  # none twice
    assert len(trained) == 2 + 3
    assert differing(tmp_path / "whole", tmp_path / "cut") == []
    assert "of 9 runs are cleared" in capsys.readouterr().out
    before = contents(tmp_path / "whole")
    assert atlas(tmp_path / "whole") == 0  # there is nothing left to train
    assert contents(tmp_path / "whole") == before
    assert len((tmp_path / "whole" / "map.csv").read_text().splitlines()) == 1 + 2 * 9


def test_a_folder_with_another_map_is_refused(tmp_path, capsys):
    (tmp_path / "map_of.txt").write_text("another")
    assert atlas(tmp_path) == 2
    assert "holds another map; name a new folder with --out" in capsys.readouterr().err
    assert not any((tmp_path / "groups").iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_two_workers_killed_and_continued_write_the_bytes_of_one(tmp_path, monkeypatch, unpainted):
    """kill -9 of the parent: its workers end, too."""
    monkeypatch.setattr(example, "SAMPLES", 100_000)  # as in the other processes
    flags = ["--size", "2", "--seeds", "1", "--steps", "100"]
    words = [sys.executable, str(ROOT / "examples" / "atlas.py"), *flags]
    out = tmp_path / "two"
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(
        [*words, "--workers", "2", "--out", str(out)], env=variables, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("groups/*.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.communicate(timeout=60)  # its workers have closed stderr: they have ended
    assert first.returncode == -signal.SIGKILL
    done = example.main([*flags, "--workers", "2", "--out", str(out)])
    get_reusable_executor().shutdown()
    assert done == example.main([*flags, "--out", str(tmp_path / "one")]) == 0
    assert differing(out, tmp_path / "one") == []


def test_subnormal_numbers_count_as_zero_inside_only():
    assert not are_flushed()
    with flushed_subnormals() as flushed:
        assert are_flushed() == flushed
        assert flushed or (sys.platform, os.uname().machine) != ("linux", "x86_64")
    assert not are_flushed()
    with pytest.raises(ZeroDivisionError), flushed_subnormals():
        raise ZeroDivisionError
    assert not are_flushed()


def test_the_map_has_a_cell_for_each_pair_and_its_median_seed():
    rows = [
        (name, g, d, seed, ks, ks < 0.03)
        for name, factor in (("article", 10.0), ("stable", 1.0))
        for d in (1e-2, 1e-3)  # in no order
        for seed in (2, 0, 1)
        for g in (1e-4, 1e-1, 1e-3)
        for ks in [np.nan if g == 1e-1 else factor * (g + d) * (1 + seed)]
    ]
    fields = [("recipe", "U9"), ("g_lr", float), ("d_lr", float), ("seed", int)]
    table = np.array(rows, dtype=[*fields, ("ks", float), ("cleared", int)])
    figure = maps.draw_maps(table, {"here": (2e-3, 5e-3)})
    article, stable, _ = figure.axes
    assert (article.get_title(), stable.get_title()) == ("article", "stable")
    (mesh,) = stable.collections
    expected = [[2 * (g + d) for d in (1e-3, 1e-2)] for g in (1e-4, 1e-3)]
    np.testing.assert_allclose(mesh.get_array().filled(-1.0), [*expected, [1.0, 1.0]])
    counts = {text.get_position(): text.get_text() for text in stable.texts}
    assert counts == {
        (1e-3, 1e-4): "3",
        (1e-2, 1e-4): "2",
        (1e-3, 1e-3): "3",
        (1e-2, 1e-3): "2",
    }
    for panel in (article, stable):
        (mark,) = panel.lines
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (5e-3, 2e-3)
        assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    corners = mesh.get_coordinates()[:, :, 0][0]  # halfway on the axis
    np.testing.assert_allclose(corners, [10**-3.5, 10**-2.5, 10**-1.5])


def test_a_map_of_one_pair_of_rates():
    table = np.array([("stable", 1e-3, 1e-2, 0.01, 1)], dtype=[
        ("recipe", "U9"), ("g_lr", float), ("d_lr", float), ("ks", float), ("cleared", int),
    ])  # fmt: skip
    panel = maps.draw_maps(table, {}).axes[0]
    assert [text.get_text() for text in panel.texts] == ["1"]
