"""The judge: how good the samples are, and pictures of it."""

from minigan.evaluation.metrics import GaussianScore, score_gaussian
from minigan.evaluation.response import Response, discriminator_response

__all__ = ["GaussianScore", "Response", "discriminator_response", "score_gaussian"]
