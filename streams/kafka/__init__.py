"""How every process reaches Kafka: each client of aiokafka is made here, from the settings alone.

`clients` makes consumers, producers and the admin client with TLS and SASL; `tokens` fetches the
tokens of OAUTHBEARER; `refusals` says in one sentence why a cluster does not let this process in.
The room imports the files of `streams` and nothing above them.
"""
