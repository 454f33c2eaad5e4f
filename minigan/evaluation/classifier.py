"""The judge of images: a convolutional classifier of their ten classes, trained with this library.

Scores of generated images need features. Photographs are usually scored with those of a network
for ImageNet; for digits, a network that reads digits is the better judge. It is kept in the cache
under a hash of the recipe and the data.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minigan.backend import Stream
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import flag
from minigan.data.datasets import CLASSES, ImageSet
from minigan.data.download import cache_folder
from minigan.data.images import Images, to_floats
from minigan.errors import UNEXPECTED
from minigan.files import make_folder, write_whole
from minigan.nn import Adam, BatchNorm, Conv2d, Dropout, Linear, LinearDecay, ReLU, Sequential
from minigan.nn.image import Image
from minigan.nn.layer import Layer
from minigan.reading import parse_json
from minigan.text import disable_bar, is_open

FORMAT = 2  # to be raised when the training below changes, so that older files are not used
SHIFT = 16  # training shifts a batch by up to 1 / SHIFT of the image, in each direction
#: Seconds of one core for each multiplication of the training's forward passes.
PACE = 1.7e-10


@dataclass(frozen=True)
class ClassifierRecipe:
    """How the judge is trained. On MNIST 6,000 steps are 12.8 epochs."""

    channels: tuple[int, ...] = (16, 32)  # of the convolutions; each halves height and width
    features: int = 128
    dropout: float = 0.5  # of the features
    steps: int = 6_000
    batch: int = 128
    lr: float = 2e-3  # of Adam, falling linearly to zero
    seed: int = 0


class Classifier:
    """A trained classifier.

    Args:
        network: images (N, h w) in [-1, 1] -> logits (N, 10). Both parts share its memory.
        accuracy: the share of the test set that it classifies correctly.

    Attributes:
        body: the network up to its last hidden layer, whose values are the features (N, 128).
        head: the last layer, features -> logits (N, 10).
    """

    def __init__(self, network: Sequential, accuracy: float) -> None:
        self.body, self.head = network.split(len(network.layers) - 1)
        self.accuracy = accuracy

    @ignore_float_errors
    def features(self, X: Any) -> Any:
        """Features (N, 128) float32 of images X (N, h w) in [-1, 1]."""
        return self.body.predict(X)

    @ignore_float_errors
    def probabilities(self, features: Any) -> Any:
        """softmax of the logits: (N, 10) float64, each row summing to one."""
        logits = self.head.predict(features).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


@ignore_float_errors
def train_classifier(
    images: ImageSet, recipe: ClassifierRecipe | None = None, *, progress: bool = True
) -> tuple[Sequential, float]:
    """Train a classifier on the training split and measure it on the test split.

    Args:
        images: the dataset.
        recipe: by default `ClassifierRecipe()`.
        progress: show a bar, where there is a terminal.

    Returns:
        The network, and the share of the test split that it classifies correctly.
    """
    from tqdm import tqdm

    recipe = recipe or ClassifierRecipe()
    net = _network(images, recipe)
    bound = net.bind(recipe.batch)
    # A batch is moved by cutting it out of images with a border of s pixels.
    h, w = images.shape
    s = min(h, w) // SHIFT
    data = Images(np.pad(images.train, ((0, 0), (s, s), (s, s))), seed=recipe.seed)
    large = net.ops.empty((recipe.batch, data.features), net.dtype)  # (B, (h + 2 s) (w + 2 s))
    places = Stream(recipe.seed, "classifier/shift").words(recipe.steps)[0] % (2 * s + 1) ** 2
    optimizer = Adam(net.parameters, recipe.lr, decay=LinearDecay(end=recipe.steps))
    onehot = np.eye(CLASSES, dtype=net.dtype)  # a row for each label
    dlogits = net.ops.empty((recipe.batch, CLASSES), net.dtype)  # (B, 10)
    for place in tqdm(
        places.tolist(), "training a classifier", disable=disable_bar(progress), leave=False
    ):
        index = data.next_index(recipe.batch)  # (B,)
        data.serve(index, out=large)
        top, left = divmod(place, 2 * s + 1)
        moved = large.reshape(-1, *data.shape)[:, top : top + h, left : left + w]  # (B, h, w)
        net.ops.copy(moved, out=bound.X.reshape(moved.shape))
        logits = bound.forward(bound.X)
        targets = onehot[images.train_labels[index]]  # (B, 10)
        net.ops.softmax_cross_entropy_gradient(logits, targets, recipe.batch, out=dlogits)
        bound.backward(dlogits, input_grad=False)
        optimizer.step()
    right = net.predict(to_floats(images.test)).argmax(axis=1) == images.test_labels
    return net, float(right.mean())


def load_classifier(
    images: ImageSet,
    cache: Path | str | None = None,
    recipe: ClassifierRecipe | None = None,
    *,
    progress: bool = True,
) -> Classifier:
    """The classifier of a dataset: from the cache, or trained now and put there.

    A damaged file is replaced.

    Args:
        images: the dataset.
        cache: see `minigan.data.download.cache_folder`.
        recipe: by default `ClassifierRecipe()`.
        progress: if it is trained, print a line about it on stderr, and show a bar.

    Raises:
        FileError: the cache cannot be written.
    """
    flag("load_classifier: progress", progress)
    recipe = recipe or ClassifierRecipe()
    description = {"format": FORMAT, "recipe": asdict(recipe), "data": images.sha256}
    key = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
    path = cache_folder(cache) / "classifiers" / f"{images.name}-{key[:16]}.safetensors"
    net = _network(images, recipe)
    accuracy = _read(path, key, net)
    if accuracy is not None:
        return Classifier(net, accuracy)
    make_folder(path.parent)  # before the work, which would be lost without it
    if progress:
        title = f"a classifier of {images.source}, once"
        announce(title, images, recipe, f"; it is kept in {path.parent}")
    net, accuracy = train_classifier(images, recipe, progress=progress)
    # One entry, since safetensors writes several in no fixed order.
    metadata = {"judge": json.dumps({"key": key, "accuracy": accuracy})}
    write_whole(path, safetensors.numpy.save(_tensors(net), metadata=metadata))
    return Classifier(net, accuracy)


def announce(title: str, images: ImageSet, recipe: ClassifierRecipe, note: str = "") -> None:
    """Print on stderr that a classifier of such images is trained now, and how long it takes."""
    if is_open(sys.stderr):
        seconds = PACE * recipe.steps * _multiplications(_network(images, recipe), recipe.batch)
        about = f"about {10 * math.ceil(seconds / 10)} seconds of an idle core"
        print(f"training {title}: {about}{note}", file=sys.stderr)


def _network(images: ImageSet, recipe: ClassifierRecipe) -> Sequential:
    image = Image(*images.shape, channels=1)
    layers: list[Layer] = []
    for channels in recipe.channels:
        convolution = Conv2d(
            image.channels, channels, kernel=5, padding=2, size=image[:2], bias=False
        )
        image = convolution.output_image
        layers += [convolution, BatchNorm(channels), ReLU()]
    layers += [Linear(image.features, recipe.features), ReLU(), Dropout(recipe.dropout)]
    head = Linear(recipe.features, CLASSES)
    return Sequential(*layers, head, seed=recipe.seed, name="classifier")


def _multiplications(net: Sequential, rows: int) -> int:
    """The multiplications of a forward pass of a batch."""
    pairs = zip(net.layers, net.shapes(rows), strict=False)  # the last shape is the output's
    return sum(layer.multiplications(shape) for layer, shape in pairs)


def _tensors(net: Sequential) -> dict[str, Any]:
    """Everything that training changes, by name."""
    return net.parameters.named() | net.buffers.named()


def _read(path: Path, key: str, net: Sequential) -> float | None:
    """Fill `net` from a cached file and return the accuracy; None if the file is not usable."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = parse_json((file.metadata() or {})["judge"])
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        its_key, accuracy = metadata["key"], float(metadata["accuracy"])
    except (OSError, *UNEXPECTED, safetensors.SafetensorError):  # it is missing or damaged
        return None
    wanted = _tensors(net)
    if its_key != key or set(tensors) != set(wanted) or not 0.0 <= accuracy <= 1.0:
        return None
    pairs = [(tensors[name], view) for name, view in wanted.items()]
    for array, view in pairs:
        if array.shape != view.shape or array.dtype != view.dtype or not np.isfinite(array).all():
            return None
    for array, view in pairs:
        net.ops.copy(array, out=view)
    return accuracy
