"""The meaning of providers' codes: a table for each provider, with the page it was checked against,
and one table of what follows from a cause.

A cause says whose matter it is: the address, the person, the message, or ours. Imports `streams`
and no other room.
"""
