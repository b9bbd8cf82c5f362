"""The streams: settings and topics here, the records and contracts that flow through the topics, and
the exactly-once agents and processes that carry them.

`contracts` are the records and bodies that others may write or read, `records` those of the engine
itself; `kafka` makes clients, `exactly_once` the agents, `process` what every process shares.
Nothing here imports a package of the engine outside `streams`; everything else may import it.
"""
