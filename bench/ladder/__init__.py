"""One training step of the 1-D GAN, written seven times: each rung is faster than the one below.

    python -m bench.ladder                        measures every rung, into bench/results/
    python -m bench.ladder.rung3_preallocated     takes a thousand steps of one rung
    python -m bench.ladder.facts                  measures what single NumPy calls cost

docs/performance.md is the lesson; these files are its blackboard. A rung does not import another
one: `start.py` has what they have in common (settings, first weights, random numbers), and each
file says the rest of the step anew. tests/test_ladder.py holds them to the same numbers.
"""
