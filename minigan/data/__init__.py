"""The truth: where real samples come from."""

from minigan.data.gaussian import Gaussian
from minigan.data.images import Images, ImageSet, load_images, read_idx_folder
from minigan.data.samples import Samples
from minigan.data.source import DataSource

__all__ = [
    "DataSource",
    "Gaussian",
    "ImageSet",
    "Images",
    "Samples",
    "load_images",
    "read_idx_folder",
]
