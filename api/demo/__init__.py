"""The demo: two invented companies with contacts and campaigns on every channel.

`content` says what there is, `run` creates and starts it through the public API. The room imports
the stores of `tables` for tenants and contacts, and no other room of `api`.
"""
