"""The state of the engine: rows in PostgreSQL, Faust tables, and views of compacted topics.

The files beside the rooms are the rules of the channels. `tables` imports `streams`; stores never
open or commit a transaction, their callers do.
"""
