"""The way from a command to a message: commands, the outbox relay, expand, throttle and emit.

An agent's module has its decision first and the thin agent last; state and rules are in `tables`.
The room imports no other room of `agents`.
"""
