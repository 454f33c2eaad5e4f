"""The teacher: explanations with live numbers, and exercises that it grades."""

from minigan.lessons.explanation import explain_own, layers_of
from minigan.lessons.topics import TOPICS, find_topic, list_topics

__all__ = ["TOPICS", "explain_own", "find_topic", "layers_of", "list_topics"]
