"""The client of providers that take messages over HTTP, and the check of a route to one.

`exchange` has the parts of a request and its answer, `client` carries them with bounded time,
connections and answers, and `signatures` are those of AWS. Imports `connectors.delivery`, the
destinations of `connectors.routes` and `streams`.
"""
