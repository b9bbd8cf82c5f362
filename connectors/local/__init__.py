"""A whole installation on one machine, from packages alone, without Docker.

`engines` runs Kafka, PostgreSQL and NATS; `stack` supervises them and the processes of the
pipeline. Imports `streams`, and no other connector: the processes are started as commands.
"""
