"""Bounces: what comes back by mail about a message, and whose message it is.

`reports` reads a raw mail, `events` says what follows, `verp` makes and reads the addresses that
bounces go to; `listener`, `mailbox` and `webhook` are the three ways in. The room
imports `webhooks`, `routes`, `delivery`, `tables` and `streams`; it knows neither Kafka nor a
database.
"""
