"""Settings from outside, each checked once; and what is raised where one is wrong."""

from __future__ import annotations

import dataclasses
import decimal
import errno
import fractions
import inspect

import numpy as np
import pytest

import minigan as mg
from minigan import errors
from minigan.checks import flag, number, set_fields, whole


@pytest.mark.parametrize("value", [3, 4, 10**30, np.int64(3), np.uint8(3)])
def test_whole_numbers(value):
    result = whole("x", value, 3)
    assert type(result) is int
    assert result == value


@pytest.mark.parametrize("value", [2, -3, 3.0, "3", None, True, np.float64(3), [3], np.nan])
def test_what_is_no_whole_number(value):
    with pytest.raises(mg.ConfigError) as caught:
        whole("rows", value, 3)
    assert str(caught.value) == f"rows must be an integer >= 3, not {value!r}"


@pytest.mark.parametrize("value", [0, 1])
def test_a_flag_is_no_whole_number(value):
    assert whole("x", value, 0) == value
    with pytest.raises(mg.ConfigError):
        whole("x", bool(value), 0)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_], ids=repr)
def test_a_flag_comes_out_as_a_bool(value):
    result = flag("x", value)
    assert type(result) is bool
    assert result == value


@pytest.mark.parametrize("value", [0, 1, 0.0, None, "True", [], [True], np.int64(1)], ids=repr)
def test_what_is_no_flag(value):
    with pytest.raises(mg.ConfigError) as caught:
        flag("bias", value)
    assert str(caught.value) == f"bias must be True or False, not {value!r}"


BOUNDS = [
    # bounds, the least and the largest number within them, and one beyond each
    ({"at_least": 0.0}, 0.0, 1e308, -5e-324, None),
    ({"above": 0.0}, 5e-324, 1e308, 0.0, None),
    ({"at_most": 1.0}, -1e308, 1.0, None, np.nextafter(1.0, 2.0)),
    ({"below": 1.0}, -1e308, np.nextafter(1.0, 0.0), None, 1.0),
    ({"at_least": 0.0, "below": 1.0}, 0.0, np.nextafter(1.0, 0.0), -5e-324, 1.0),
    ({"above": -1.0, "at_most": 2.0}, np.nextafter(-1.0, 0.0), 2.0, -1.0, np.nextafter(2.0, 3.0)),
]


@pytest.mark.parametrize(("bounds", "least", "largest", "under", "over"), BOUNDS, ids=str)
def test_numbers_within_bounds(bounds, least, largest, under, over):
    for value in (least, largest):
        assert number("x", value, **bounds) == value
    for value in (under, over):
        if value is not None:
            with pytest.raises(mg.ConfigError):
                number("x", value, **bounds)


@pytest.mark.parametrize(
    "value", [1, 1.0, np.float32(1), np.int8(1), fractions.Fraction(1, 1)], ids=repr
)
def test_a_number_comes_out_as_a_float(value):
    result = number("x", value)
    assert type(result) is float
    assert result == 1.0


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        10**400,
        True,
        "1",
        None,
        1j,
        [1.0],
        decimal.Decimal(1),
    ],
    ids=repr,
)
def test_what_is_no_number(value):
    with pytest.raises(mg.ConfigError) as caught:
        number("rate", value, at_least=0.0, below=0.5)
    assert str(caught.value) == (f"rate must be a finite number and >= 0 and < 0.5, not {value!r}")
    with pytest.raises(mg.ConfigError, match="rate must be a finite number and > 1 and <= 2, not"):
        number("rate", value, above=1.0, at_most=2.0)


def test_fields_of_a_frozen_definition_are_set():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        a: int = 1
        b: int = 2
        c: int = 3

    settings = Settings()
    set_fields(settings, a=10, b=20)
    assert settings == Settings(10, 20, 3)


#: Every error, with the built-in exception that a Python programmer would expect.
EXPECTED = {
    "ConfigError": ValueError,
    "ShapeError": ValueError,
    "DTypeError": TypeError,
    "DeviceError": RuntimeError,
    "OrderError": RuntimeError,
    "DataError": ValueError,
    "FileError": OSError,
    "CheckpointError": ValueError,
    "DamagedError": ValueError,
    "BusyError": RuntimeError,
    "NonFiniteError": ArithmeticError,
    "CallbackError": RuntimeError,
    "DownloadError": OSError,
}


def test_errors_are_of_the_family_and_of_the_kind_one_expects():
    found = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, mg.MiniganError)
    }
    assert set(found) == {*EXPECTED, "MiniganError"}
    for name, builtin in EXPECTED.items():
        assert issubclass(found[name], builtin), name
    assert issubclass(errors.DamagedError, mg.CheckpointError)
    assert issubclass(mg.Interrupted, KeyboardInterrupt)
    assert not issubclass(mg.Interrupted, Exception)  # which `except Exception` would swallow


def test_what_errors_carry():
    full = mg.FileError(errno.ENOSPC, "cannot write x: no space")
    assert (str(full), full.errno) == ("cannot write x: no space", errno.ENOSPC)
    assert str(mg.FileError("only words")) == "only words"
    assert str(mg.FileError()) == ""
    assert mg.FileError(None, "words").errno is None
    assert not mg.DownloadError("words").offline
    offline = mg.DownloadError("words", offline=True)
    assert (str(offline), offline.offline) == ("words", True)
    ended = mg.Interrupted("saved", 15)
    assert (str(ended), ended.signum) == ("saved", 15)
