"""The truth: where real samples come from."""

from minigan.data.gaussian import Gaussian

__all__ = ["Gaussian"]
