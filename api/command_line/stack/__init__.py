"""The commands of this machine: up, down, reset, status and doctor, one process in the foreground,
topics, roles, jobs, benchmarks.

Each module registers its commands and leaves the work to `connectors.local.stack`, or to a process
of its own. Imports `api.demo`, the files of the command line, `connectors` and `tables`.
"""
