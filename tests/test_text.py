"""Text for people: columns, shapes, numbers with their nouns, names of losses."""

from __future__ import annotations

import pytest

from minigan.text import columns, count, loss_title, times


def test_the_first_column_begins_at_the_left_and_the_others_end_at_the_right():
    rows = [("name", "a", "bb", ""), ("x", "1000", "2", "")]
    assert columns(rows) == "name     a  bb\nx     1000   2"
    assert columns(rows, left=2) == "name  a     bb\nx     1000   2"
    assert columns(rows, left=0) == "name     a  bb\n   x  1000   2"


def test_the_last_cell_of_a_row_is_a_remark_of_any_length():
    rows = [("a", "1", "a long remark"), ("b", "2", "")]
    assert columns(rows) == "a  1  a long remark\nb  2"
    assert columns([("alone",)]) == "alone"


def test_no_line_ends_in_spaces():
    assert columns([("a", "", ""), ("bbb", "1", "")]) == "a\nbbb  1"


@pytest.mark.parametrize(
    ("shape", "told"), [((4, 3), "4 x 3"), ((7,), "7"), ([2, 3, 5], "2 x 3 x 5"), ((), "")]
)
def test_a_shape(shape, told):
    assert times(shape) == told


@pytest.mark.parametrize(
    ("n", "told"),
    [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (2000, "2,000 epochs")],
)
def test_a_number_and_its_noun(n, told):
    assert count(n, "epoch") == told


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("d_real", "D real"),
        ("d_fake", "D fake"),
        ("g", "G"),
        ("critic", "critic"),
        ("drift", "drift"),
        ("gradient_penalty_of_d", "gradient penalty of d"),
    ],
)
def test_the_name_of_a_loss(column, told):
    assert loss_title(column) == told
