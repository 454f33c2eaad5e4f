"""The teacher: what the library does, shown with live numbers, and exercises that it grades."""

from minigan.lessons.pages import explain, explain_own, layers_of
from minigan.lessons.subjects import SUBJECTS, find_subject

__all__ = ["SUBJECTS", "explain", "explain_own", "find_subject", "layers_of"]
