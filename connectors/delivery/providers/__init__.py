"""The providers that take messages over HTTP, a module each: the request that a message becomes,
and the meaning of its answer. `table` finds the one of a route. Imports `connectors.delivery`, its
room `http`, `connectors.webhooks`, values of `tables`, and `streams`.
"""
