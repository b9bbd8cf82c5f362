"""Delivery: hands messages to the mail servers and services that bring them to people.

`mime` makes a mail of a message, `smtp` gives mails to a mail server, and `classification` tells
what the answer means. The room imports `connectors.webhooks` and `streams`; it knows neither
Kafka nor PostgreSQL.
"""
