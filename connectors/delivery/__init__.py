"""Delivery: hands messages to the mail servers and services that bring them to people.

`letters` has the parts of an email, `mime` makes a mail of them, `smtp` gives mails to a mail
server, `http` and `providers` give messages to services, and `classification` tells what the answer
means. The room imports `connectors.webhooks`, of `connectors.routes` the destinations, of `tables`
values alone, and `streams`; it speaks neither to Kafka nor to PostgreSQL.
"""
