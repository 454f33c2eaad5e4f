"""The clock: steps, epochs, files."""

from minigan.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minigan.training.history import read_history
from minigan.training.trainer import Trainer, read_recipe, require_free

__all__ = [
    "Checkpoint",
    "Trainer",
    "load_checkpoint",
    "read_history",
    "read_recipe",
    "require_free",
    "save_checkpoint",
]
