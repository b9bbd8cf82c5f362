"""The state by which the throttle decides: each tenant's campaigns with their cursors, quotas,
usage, and what has gone out in each lane.

All of it is pure: `fold` takes an event, `quota` says how much may be granted, `settle` what is
over. The room imports `streams` and no other room.
"""
