"""The client of providers that take messages over HTTP, and the check of a route to one.

`exchange` has the parts of a request and its answer, `client` carries them in bounded time with
bounded answers, `aws_signatures` signs a request, and `checks` looks at a route. Imports
`connectors.delivery`, `connectors.routes`, `connectors.webhooks` and `streams`.
"""
