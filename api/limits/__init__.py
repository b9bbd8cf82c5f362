"""The share of this process that one tenant, address or connection may take, so that others get
theirs: slots for work, event streams, attempts by address, the pace of bodies, connections. The
routes and their dependencies are above, in `api.http` and its users. Imports `streams` and no other
room of `api`.
"""
