"""A stand-in for pipeline workers, providers and people: it reads messages and reports what
happened to each.

`behaviour` decides by the message id alone, `schedule` holds a report until its time, `truth` logs
the decisions for the tests. The room imports `streams` alone, as a stranger's service would.
"""
