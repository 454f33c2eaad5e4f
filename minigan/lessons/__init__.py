"""The teacher: what the library does, shown with live numbers, and exercises that it grades."""

from minigan.lessons.explain import explain, layers_of
from minigan.lessons.subjects import SUBJECTS, find_subject

__all__ = ["SUBJECTS", "explain", "find_subject", "layers_of"]
