"""The settings on which the processes of an installation have agreed: the row that `campaigns
prepare` writes, and the service that compares it with a process's own.

The room imports `tables.database` and `tables.models`.
"""
