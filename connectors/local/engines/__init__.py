"""Kafka, PostgreSQL and NATS as child processes: each engine is a command on a folder and a port.

`engine` is their common shape, `process` ties a child to its parent's life, `private_files` are
closed to other users of the machine. Imports of ours only names in `streams.settings`, so tests and
tools can start an engine by itself.
"""
