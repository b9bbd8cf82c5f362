"""REST about the caller's tenant: its limits, its API keys, its sender domains, its routes of
delivery, the webhooks of its providers, its audit log, and signing in to the dashboard. `schemas`
holds their bodies and answers. The room imports `api.http`, `api.limits` and no other room of
`api`.
"""
