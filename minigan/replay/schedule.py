"""The steps of which a recording has a frame: many early, when much changes, and fewer later."""

from __future__ import annotations

from bisect import bisect_right

from minigan.checks import whole

LATE = 80  # frames of a run, about, if all gaps were of full length; early ones are added
EARLY = 20  # the gap grows by 1 / EARLY of the steps so far


class FrameSteps:
    """The steps of the frames: 0, and from each step t the next one,

        t + min(max(t // EARLY, 1), every).

    So there is a frame of every step up to 40, then the gaps grow up to `every` steps.

    Args:
        every: the longest gap, in steps, >= 1.

    Raises:
        ConfigError: `every` is not such a number.
    """

    def __init__(self, every: int) -> None:
        self.every = whole("record: every", every, 1)
        self._early = [0]  # up to the first gap of `every` steps
        while (gap := max(self._early[-1] // EARLY, 1)) < every:
            self._early.append(self._early[-1] + gap)

    def after(self, step: int) -> int:
        """The first of the steps after `step`, which is >= -1."""
        last = self._early[-1]
        if step < last:
            return self._early[bisect_right(self._early, step)]
        return last + self.every * ((step - last) // self.every + 1)


def default_gap(goal: int) -> int:
    """The longest gap between the frames of a run of `goal` steps, unless it is given.

    It gives about 130 to 240 frames, fewer than a replay page shows.
    """
    return max(1, goal // LATE)
