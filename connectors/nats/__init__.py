"""The bridge from Kafka to NATS JetStream: `messages` makes what is published, `publisher` and
`jetstream` get it stored in order, `stream` looks after the stream.

`connection` and `failures` get this process into NATS, for the bridge and for `campaigns doctor`.
No other code speaks to NATS. The room imports `streams` and `tables`, and no other connector.
"""
