"""How every process reaches Kafka: each client of aiokafka is made here, from the settings alone.

`clients` makes consumers, producers and the admin client with TLS and SASL; `tokens` fetches the
tokens of OAUTHBEARER; `reading` reads partitions to a known end; `refusals` says in one sentence
why a cluster does not let this process in. The room imports `settings`, `records`, `contracts` and
the files of `streams`.
"""
