"""How good the samples are, in numbers and figures."""

from minigan.evaluation.class_scores import ClassScores, score_classes
from minigan.evaluation.classifier import Classifier, load_classifier
from minigan.evaluation.code_scores import CodeScores, score_codes
from minigan.evaluation.form import Form
from minigan.evaluation.forms import FORMS, form_of
from minigan.evaluation.image_scores import ImageScores, score_images
from minigan.evaluation.metrics import NumberScore, score_gaussian, score_numbers
from minigan.evaluation.modes import PointScore, score_points
from minigan.evaluation.response import Response, discriminator_response

__all__ = [
    "FORMS",
    "ClassScores",
    "Classifier",
    "CodeScores",
    "Form",
    "ImageScores",
    "NumberScore",
    "PointScore",
    "Response",
    "discriminator_response",
    "form_of",
    "load_classifier",
    "score_classes",
    "score_codes",
    "score_gaussian",
    "score_images",
    "score_numbers",
    "score_points",
]
