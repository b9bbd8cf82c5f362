"""The company's own directory services: segments, contacts and templates that another system owns.

`service` is one HTTP service with its retries and circuit breaker, `sources` asks it at the right
moments and mirrors the answers into our tables. Imports `streams` and `tables`, and no other
connector.
"""
