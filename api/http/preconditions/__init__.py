"""`ETag`, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1) for everything that
two people may edit.

`entity_tags` spells and compares tags, `conditions` holds a request to them: one rule for all
routes, and a route without a version refuses what it cannot check. The room knows no resource; it
imports `streams` and the models of `tables`.
"""
