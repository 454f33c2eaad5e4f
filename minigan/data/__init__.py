"""Where real samples come from."""

from minigan.data.datasets import ImageSet, load_images, read_idx_folder
from minigan.data.distribution import Distribution
from minigan.data.gaussian import Gaussian
from minigan.data.images import Images
from minigan.data.samples import Samples
from minigan.data.source import DataSource

__all__ = [
    "DataSource",
    "Distribution",
    "Gaussian",
    "ImageSet",
    "Images",
    "Samples",
    "load_images",
    "read_idx_folder",
]
