"""Where real samples come from."""

from minigan.data.datasets import ImageSet, load_images, read_idx_folder
from minigan.data.distribution import Distribution
from minigan.data.gaussian import Gaussian
from minigan.data.images import Images
from minigan.data.points import Points
from minigan.data.samples import Samples
from minigan.data.source import DataSource
from minigan.data.toys import Grid, Moons, Plane, Ring, Spiral

__all__ = [
    "DataSource",
    "Distribution",
    "Gaussian",
    "Grid",
    "ImageSet",
    "Images",
    "Moons",
    "Plane",
    "Points",
    "Ring",
    "Samples",
    "Spiral",
    "load_images",
    "read_idx_folder",
]
