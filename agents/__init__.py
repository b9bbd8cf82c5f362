"""Who decides: the agents and services of the pipeline; `topology.py` is the map."""
