"""The ways out: each route as a worker uses it, the choice among them, and what an answer means.

`choice` finds the route, `outlet` hands over by it as `pacing` allows, in `sessions` to a relay or
by `calls` to a provider over HTTP, and `settling` decides about the message. The room imports
`connectors.delivery`, `connectors.bounces`, `connectors.routes`, `connectors.webhooks`, `tables`
and `streams`.
"""
