"""The findings that a tenant needs of a route before it sends by it.

`destinations` decides which addresses may be connected to, `login` goes there and proves the
credentials, `senders`, `spf` and `reverse` read DNS through `names`, `checks` puts all of it
together. Imports `streams`, the routes of `tables.tenants` and the name servers of
`connectors.domains`.
"""
