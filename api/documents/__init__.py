"""The documents of the interfaces: OpenAPI, AsyncAPI, and the reference page that shows them.

They are made of the routes and records themselves; only examples are written here. The room imports
`api.http`, `api.campaigns` and `streams`.
"""
