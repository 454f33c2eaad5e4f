"""How a step's time depends on the number of processes: measured at 1 and 2, and a model.

    python -m bench.scale               measures, into bench/results/ and the page

docs/scale.md explains the model. `teams.py` has the processes, with a delay that can be injected
into what carries their messages; `measure.py` what is timed; `model.py` the formulas; `tables.py`
what the page shows.
"""
