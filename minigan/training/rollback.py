"""After divergence: back to the last checkpoint, with half of the learning rates."""

from __future__ import annotations

import logging

from minigan.errors import NonFiniteError
from minigan.training.keeper import Keeper
from minigan.training.run import read_checkpoint

log = logging.getLogger("minigan")

ROLLBACKS = 3  # after so many, a run that diverges again is given up


def roll_back(run: Keeper, error: NonFiniteError) -> None:
    """Take a run that diverged back to its last checkpoint, and halve every learning rate.

    Args:
        run: whose folder is locked.
        error: what was noticed. It is raised if the run is not one to roll back.
    """
    if run.on_nan != "rollback":
        raise error
    if run.rollbacks >= ROLLBACKS:
        raise NonFiniteError(f"{error} ({ROLLBACKS} rollbacks did not help)") from error
    done = run.rollbacks + 1
    loss = run.gan.loss
    run._go_back(*read_checkpoint(run.out))
    run.rollbacks = done
    for optimizer in run.gan.optimizers.values():
        optimizer.lr *= 0.5
    run.save()  # so that the halved rates outlive this process
    log.warning(
        "%s; rolled back to step %s with half the learning rates%s (%s of %s)",
        error,
        f"{run.gan.step_count:,}",
        "" if run.gan.loss == loss else f" and its loss, {run.gan.loss}",
        done,
        ROLLBACKS,
    )
