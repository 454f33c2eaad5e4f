"""One training step of the 1-D GAN, written seven times.

    python -m bench.ladder              measures every rung, into bench/results/ and the page

docs/performance.md explains them. Rung 1 has the whole step; rungs 2 to 5 are subclasses that
override only what they change. `start.py` has what all rungs share (settings, first weights, random
numbers). tests/test_ladder.py checks that all rungs compute the same numbers.
"""
