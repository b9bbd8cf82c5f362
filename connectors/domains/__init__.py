"""The answers of DNS about a tenant's domains.

`name_servers` asks, `verification` judges the answer about the record that proves a sender's
domain. Imports `streams` and `tables.tenants`, and no other connector.
"""
