"""Messages handed over to the providers of tenants, each once unless a process is killed meanwhile.

`journal` remembers which messages of a partition are open, `open_messages` which of them may go,
`lane` moves both on in transactions, `doubts` and `campaigns` are what PostgreSQL says of them,
`feedback` tells the throttle, and `worker` is the service. The room imports its own `outlets`,
`connectors.delivery`, `tables` and `streams`.
"""
