"""Messages handed over to the providers of tenants, each once unless a process is killed meanwhile.

`journal` remembers which messages of a partition are open, `lane` moves it on in transactions,
`choice` finds the route, `outlet` hands over by it, in `sessions` to a relay or by `calls` to a
provider over HTTP, `settling` decides what an answer means for the message, and `worker` is the
service. The room imports
`connectors.delivery`, `connectors.routes`, `connectors.webhooks`, `tables` and `streams`.
"""
