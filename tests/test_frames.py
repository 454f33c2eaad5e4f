"""frames.jsonl: what is written is read back, and a file from elsewhere does no harm."""

from __future__ import annotations

import base64
import json
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.training.frame_format import codes_of
from minigan.training.frames import Frames, read_frames, read_header

ARRAYS = [
    {"name": "after", "shape": [6], "levels": 4095, "range": [-2.0, 10.0]},
    {"name": "push", "shape": [3, 2], "levels": 255, "range": None},
]
HEADER = {"form": "number", "every": 5, "arrays": ARRAYS, "scene": {"std": 1.25}}
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")


def arrays(step: int) -> dict[str, Any]:
    """Those of the frame of a step."""
    random = np.random.default_rng(step)
    return {"after": random.normal(4, 1, 6), "push": random.normal(0, 1e-4, (3, 2))}


def recorded(folder: Path, *steps: int) -> Frames:
    """A recording with frames of these steps."""
    frames = Frames(folder / "frames.jsonl")
    frames.start(HEADER)
    for step in steps:
        frames.add(step, {"d_real": step / 3}, arrays(step))
    return frames


def test_frames_come_back(tmp_path):
    steps = [0, 1, 5, 1000]
    found = read_frames(recorded(tmp_path, *steps).path)
    assert found.header == {"frames": 1, **HEADER}
    assert found.header == read_header(tmp_path / "frames.jsonl")
    assert found.steps == steps
    assert found.values["d_real"].tolist() == [step / 3 for step in steps]
    for name, places in (("after", 4094), ("push", 254)):
        given = np.array([arrays(step)[name] for step in steps])
        low, high = found.ranges[name].T if name == "push" else ([-2.0] * 4, [10.0] * 4)
        most = 0.5001 * (np.array(high) - low) / places  # half a level
        off = np.abs(found.array(name) - given).reshape(4, -1).max(axis=1)
        assert (off <= most).all()
        assert (off > 0.1 * most).all()  # or the test would not see another number of levels
        assert found.array(name).dtype == np.float32
    assert found.codes["after"].dtype == np.uint16
    assert found.codes["push"].dtype == np.uint8


def test_what_is_not_finite_and_what_is_zero(tmp_path):
    frames = recorded(tmp_path)
    push = np.array([[np.nan, 0.0], [np.inf, -3.0], [1e300, 2.0]])
    frames.add(3, {"d_real": np.inf, "g": np.nan}, {"after": [-9, 99, -2, 10, 4, -np.inf],
                                                    "push": push})  # fmt: skip
    found = read_frames(frames.path)
    assert np.isnan([found.values["d_real"][0], found.values["g"][0]]).all()
    np.testing.assert_array_equal(
        found.array("push")[0], np.float32([[np.nan, 0], [np.nan, -3], [np.nan, 2.007874]])
    )
    assert found.ranges["push"].tolist() == [[-3.0, 3.0]]
    np.testing.assert_allclose(found.array("after")[0], [-2, 10, -2, 10, 4, np.nan], atol=2e-3)
    frames.add(4, {"d_real": 1, "g": 1}, {"after": np.zeros(6), "push": np.full((3, 2), 7.0)})
    assert (read_frames(frames.path).array("push")[1] == 7).all()


@pytest.mark.parametrize("levels", [2, 255, 256, 65535])
def test_all_codes_are_used(levels):
    codes = codes_of(np.array([-1.0, 1.0, np.nan]), levels, -1.0, 1.0)
    assert codes.tolist() == [1, levels, 0]
    assert codes.dtype == (np.uint8 if levels < 256 else np.uint16)


def test_a_frame_replaces_those_of_its_step_and_of_later_ones(tmp_path):
    frames = recorded(tmp_path, 0, 1, 2, 3)
    frames.add(2, {"d_real": 9}, arrays(9))
    found = read_frames(frames.path)
    assert (found.steps, found.values["d_real"][2], frames.last) == ([0, 1, 2], 9, 2)


@pytest.mark.parametrize(("step", "kept"), [(-1, []), (0, [0]), (4, [0, 3]), (5, [0, 3, 5])])
def test_a_recording_is_rewound_to_a_step(step, kept, tmp_path):
    path = recorded(tmp_path, 0, 3, 5).path
    frames = Frames(path)
    frames.rewind(step)
    assert read_frames(path).steps == kept
    assert frames.last == (kept[-1] if kept else None)
    assert frames.header == read_header(path)
    frames.add(7, {"d_real": 1}, arrays(7))
    assert read_frames(path).steps == [*kept, 7]


def test_a_run_that_is_not_recorded_has_no_file(tmp_path):
    frames = Frames(tmp_path / "frames.jsonl")
    frames.rewind(3)
    frames.sync()
    assert not frames.path.exists()
    with pytest.raises(mg.OrderError, match="was not begun"):
        frames.add(0, {}, arrays(0))
    with pytest.raises(mg.CheckpointError, match="there is no recording at"):
        read_frames(frames.path)


def test_a_torn_last_line_is_left_out(tmp_path):
    path = recorded(tmp_path, 0, 1, 2).path
    whole = path.read_bytes()
    for cut in (1, 2, 30):
        path.write_bytes(whole[:-cut])
        assert read_frames(path).steps == [0, 1]
    frames = Frames(path)
    frames.rewind(2)
    frames.add(2, {"d_real": 2 / 3}, arrays(2))
    assert path.read_bytes() == whole


def test_what_a_power_failure_left_at_the_end_is_dropped(tmp_path):
    """The frames up to the checkpoint are on the disk; of later ones, blocks may be zeros."""
    path = recorded(tmp_path, 0, 1, 2, 3).path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = bytes(len(lines[3]) - 1) + b"\n"  # the frame of step 2
    path.write_bytes(b"".join(lines))
    frames = Frames(path)
    with pytest.raises(mg.CheckpointError, match="damaged"):
        frames.rewind(3)
    assert path.read_bytes() == b"".join(lines)
    frames.rewind(2)
    assert path.read_bytes() == b"".join(lines[:3])
    assert frames.last == 1


@pytest.mark.parametrize(("most", "steps"), [
    (2, [0, 9]), (3, [0, 4, 9]), (9, [0, 1, 2, 3, 4, 6, 7, 8, 9]), (10, [*range(10)]),
    (99, [*range(10)]),
])  # fmt: skip
def test_frames_are_chosen_evenly(most, steps, tmp_path):
    found = read_frames(recorded(tmp_path, *range(10)).path, most)
    assert found.steps == steps
    assert found.values["d_real"].tolist() == [step / 3 for step in steps]
    given = [arrays(step)["after"] for step in steps]
    np.testing.assert_allclose(found.array("after"), given, atol=2e-3)


def test_wrong_calls(tmp_path):
    frames = recorded(tmp_path, 0)
    with pytest.raises(mg.ShapeError, match=r"push must be 3 x 2, not 6"):
        frames.add(1, {}, {**arrays(1), "push": np.zeros(6)})
    with pytest.raises(mg.ShapeError, match="has the arrays"):
        frames.add(1, {}, {"after": np.zeros(6)})
    with pytest.raises(mg.ConfigError, match="no array 'before'"):
        read_frames(frames.path).array("before")
    with pytest.raises(mg.ConfigError, match="must be an integer >= 2"):
        read_frames(frames.path, 1)
    assert read_frames(frames.path).steps == [0]


# -- files from elsewhere ---------------------------------------------------------------


def changed(**fields: Any) -> dict[str, Any]:
    return {"frames": 1, **HEADER, **fields}


def an_array(**fields: Any) -> dict[str, Any]:
    return changed(arrays=[{**ARRAYS[0], **fields}])


HEADERS = [
    [], 7, None, {}, {"frames": 1}, changed(frames=2), changed(every=0), changed(every="5"),
    changed(form=3), changed(scene=[]), changed(arrays=[]), changed(arrays={}), changed(arrays=[3]),
    changed(arrays=ARRAYS * 2), changed(arrays=[ARRAYS[1]] * 65),
    an_array(name="a b"), an_array(name=["x"]), an_array(shape=[]), an_array(shape=[0]),
    an_array(shape=[-3]), an_array(shape=6), an_array(shape=[1.5]), an_array(shape=[1] * 9),
    an_array(shape=[1 << 24, 1 << 24]), an_array(shape=[1 << 24]), an_array(levels=1),
    an_array(levels=65536), an_array(range=[1, 1]), an_array(range=[2, 1]), an_array(range=[0]),
    an_array(range=[0, 1e60]), an_array(range=["0", "1"]), an_array(range=5),
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_header_that_is_none_is_refused(header, tmp_path):
    path = tmp_path / "frames.jsonl"
    path.write_text(json.dumps(header) + "\n")
    for read in (read_frames, read_header, lambda path: Frames(path).rewind(0)):
        with pytest.raises(mg.CheckpointError, match="is not a recording") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    if isinstance(header, dict) and header.get("frames") == 1:
        before = path.read_bytes()
        with pytest.raises(mg.ConfigError, match="not the header of a recording"):
            Frames(path).start({k: v for k, v in header.items() if k != "frames"})
        assert path.read_bytes() == before


def packed(size: int, value: int = 1) -> str:
    return base64.b64encode(zlib.compress(bytes([value]) * size)).decode()


FRAME = {"step": 1, "values": {}, "ranges": {"push": [-1, 1]}, "data": packed(18)}
FRAMES = [
    [], 7, {}, {**FRAME, "step": -1}, {**FRAME, "step": 1.5}, {**FRAME, "step": 1 << 60},
    {**FRAME, "values": []}, {**FRAME, "values": {"g": "1"}}, {**FRAME, "values": {"g": True}},
    {**FRAME, "ranges": {}}, {**FRAME, "ranges": {"push": [1, -1]}},
    {**FRAME, "ranges": {"push": [0, 1e50]}}, {**FRAME, "ranges": {"push": None}},
    {**FRAME, "data": 3}, {**FRAME, "data": "rubbish"}, {**FRAME, "data": "%%%%"},
    {**FRAME, "data": packed(17)}, {**FRAME, "data": packed(19)}, {**FRAME, "data": packed(0)},
    {**FRAME, "data": packed(18, 255)},  # the code 65,535 of 4,095
    {**FRAME, "data": base64.b64encode(zlib.compress(bytes(18))[:-2]).decode()},
    {**FRAME, "data": base64.b64encode(zlib.compress(bytes(18)) + b"more").decode()},
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_a_frame_that_is_none_is_refused(frame, tmp_path):
    path = recorded(tmp_path).path
    good = path.read_bytes()
    path.write_bytes(good + (json.dumps(FRAME) + "\n").encode())
    assert read_frames(path).steps == [1]
    path.write_bytes(good + (json.dumps(frame) + "\n").encode())
    with pytest.raises(mg.CheckpointError, match="is not a recording, or is damaged") as caught:
        read_frames(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("second", [{**FRAME, "step": 1}, {**FRAME, "step": 0},
                                    {**FRAME, "step": 2, "values": {"g": 1}}])  # fmt: skip
def test_frames_that_do_not_follow_each_other_are_refused(second, tmp_path):
    path = recorded(tmp_path).path
    with path.open("a") as file:
        file.write(f"{json.dumps(FRAME)}\n{json.dumps(second)}\n")
    with pytest.raises(mg.CheckpointError, match=r"comes after step 1|different values"):
        read_frames(path)


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path):
    path = recorded(tmp_path).path
    good = path.read_bytes()
    bomb = (json.dumps({**FRAME, "data": packed(1 << 26)}) + "\n").encode()  # 64 MiB
    large = changed(arrays=[{**ARRAYS[1], "shape": [1 << 24]}])
    many = b"".join((json.dumps({**FRAME, "step": i}) + "\n").encode() for i in range(65))
    tracemalloc.start()
    for content, told in (
        (good + bomb, "does not have the 18 bytes"),
        (good + b"x" * (1 << 22), "a line has more than"),
        (json.dumps(large).encode() + b"\n" + many, "bytes, more than the"),
    ):
        path.write_bytes(content)
        with pytest.raises(mg.CheckpointError, match=told):
            read_frames(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.skipif(os.name == "nt", reason="no pipes of this kind")
def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(mg.CheckpointError, match="cannot read"):
            read_frames(path)


@POSIX
def test_a_frame_that_did_not_fit_leaves_no_part(tmp_path):
    """A limit on the size of files stands for the disk: the write ends in the middle."""
    import resource

    frames = recorded(tmp_path, 0, 1)
    before = frames.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        with pytest.raises(mg.FileError, match=r"cannot write .*frames\.jsonl"):
            frames.add(2, {"d_real": 2 / 3}, arrays(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert frames.path.read_bytes() == before
    frames.add(2, {"d_real": 2 / 3}, arrays(2))
    assert read_frames(frames.path).steps == [0, 1, 2]
