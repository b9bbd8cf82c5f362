"""Faust agents whose input position, outputs and state are one Kafka transaction.

`agents` is the public face: a body gets records and answers with what to send. `faust_internals`
lists every private part of Faust and aiokafka that is used, and a worker checks them when it
starts. The room imports `streams.kafka`, `streams.records`, `streams.settings` and the files of
`streams`.
"""
