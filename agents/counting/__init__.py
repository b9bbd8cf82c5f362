"""The way from a report to a count: ingest, fold, the projection, and the watch over complaints.

`fold` is an exactly-once agent, the others are movers that may repeat themselves. The room imports
no other room of `agents`.
"""
