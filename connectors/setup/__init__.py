"""The preparation of the servers, once per version: the database is created and migrated, the
topics are created or compared.

`prepare` does both, `topics` the part of Kafka. Imports `streams` and `tables.database`, and no
other connector.
"""
