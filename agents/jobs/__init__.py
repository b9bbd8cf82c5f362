"""The four background jobs of the specification, and the turns in which the workers run them.

`jobs` is the table and the service, `run_once` one job by hand; each other module is one job. The
room imports no other room of `agents`.
"""
