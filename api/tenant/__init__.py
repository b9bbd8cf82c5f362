"""The routes about the caller's tenant: its limits, its API keys, the webhooks of its providers, and
signing in to the dashboard. `schemas` holds what they take and answer. The room imports `api.http`
and no other room of `api`.
"""
