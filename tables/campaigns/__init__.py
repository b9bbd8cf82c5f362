"""The campaign's row and everything that belongs to one campaign: its lifecycle, its times, its
content, its A/B test and its children.

`lifecycle` is the table of statuses and verbs. The room imports `stats` for the figures of A/B
tests, `tenants`, `models` and `database`.
"""
