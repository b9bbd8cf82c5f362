"""A process and its life: settings, logs, readiness, the Faust app of a role, and services that
move records outside of Faust.

`start` is the beginning of every process, `mover` the template of the bulk movers. The room imports
every other room of `streams`, and none of them imports it.
"""
