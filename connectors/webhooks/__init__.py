"""Provider webhooks: their signatures are verified, and their reports are read as events in our
words.

`providers` is the table of providers; each has a module, and `delivery` holds the rules that they
share. Imports `streams`, `tables.tenants` and no other room of the connectors.
"""
