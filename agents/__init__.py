"""The decisions: agents and services that read records, decide, and write records.

`topology` is the map, the only place that says which process runs what; `worker` starts one
process. `agents` imports `streams`, `tables` and `connectors`; nothing imports `agents`.
"""
