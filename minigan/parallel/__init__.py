"""One training step, taken by several processes together."""
