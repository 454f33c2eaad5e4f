"""Training: the loop, and the run folder that it writes."""

from minigan.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minigan.training.frames import Recording, read_frames
from minigan.training.health import Failure, diagnose
from minigan.training.history import read_history
from minigan.training.recipe_json import read_recipe
from minigan.training.run import Run, load_run
from minigan.training.run_folder import require_free
from minigan.training.threads import limit_threads, suitable_threads
from minigan.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "Failure",
    "Recording",
    "Run",
    "Trainer",
    "diagnose",
    "limit_threads",
    "load_checkpoint",
    "load_run",
    "read_frames",
    "read_history",
    "read_recipe",
    "require_free",
    "save_checkpoint",
    "suitable_threads",
]
