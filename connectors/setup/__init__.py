"""The preparation of the servers, once per version: the database is created and migrated, the
topics are created or compared; and the way out when one of the two was restored.

`prepare` does both, `topics` the part of Kafka, `reconcile` compares and mends. Imports `streams`
and `tables`, and no other connector.
"""
