"""The frame of an experiment: recipes become runs, from the command line."""

from minigan.experiment.experiment import Experiment, Options
from minigan.experiment.recipe import flag

__all__ = ["Experiment", "Options", "flag"]
