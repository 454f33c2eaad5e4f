"""The exercises, as `minigan ninja new` copies them: `...` is what you write."""
