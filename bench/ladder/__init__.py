"""One training step of the 1-D GAN, written seven times: each rung is faster than the one below.

    python -m bench.ladder                        measures every rung, into bench/results/
    python -m bench.ladder.rung3_preallocated     takes a thousand steps of one rung
    python -m bench.ladder.facts                  measures what single NumPy calls cost

docs/performance.md is the lesson; these files are its blackboard. `start.py` has what the rungs
have in common (settings, first weights, random numbers). From the rung before it a rung imports
kernels that it leaves as they were, and says anew what is faster. tests/test_ladder.py holds them
to the same numbers.
"""
