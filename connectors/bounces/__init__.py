"""Bounces: what comes back by mail about a message, and whose message it is.

`reports` reads a raw mail, `verp` makes and reads the addresses that bounces go to, and `listener`
and `mailbox` are two ways in; the third is a webhook. The room imports `webhooks`, `routes`,
`delivery` and `streams`, and knows neither Kafka nor PostgreSQL.
"""
