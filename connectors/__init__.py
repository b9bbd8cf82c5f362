"""Every other system: NATS, providers of messages, a company's own services, the template engine,
and the engines and simulator of one machine.

A room knows one system and none of its neighbours, except that `messages` renders with `templates`.
Imports `streams` and `tables`; `agents` and `api` import from here.
"""
