"""The exercises, as `minigan ninja new` copies them: what is to be written is `...`."""
