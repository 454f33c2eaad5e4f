"""The judge: how good the samples are, and pictures of it."""

from minigan.evaluation.classifier import Classifier, load_classifier
from minigan.evaluation.image_scores import ImageScores, score_images
from minigan.evaluation.metrics import GaussianScore, score_gaussian
from minigan.evaluation.response import Response, discriminator_response

__all__ = [
    "Classifier",
    "GaussianScore",
    "ImageScores",
    "Response",
    "discriminator_response",
    "load_classifier",
    "score_gaussian",
    "score_images",
]
