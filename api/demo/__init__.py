"""The demo: two invented companies with contacts and campaigns on every channel.

`content` lists companies, contacts and campaigns, `run` creates and starts them through the public
API. The room imports the stores of `tables` for tenants and contacts, and no other room of `api`.
"""
