"""A stand-in for pipeline workers, providers and people: reads messages, reports what happened to
each.
"""
