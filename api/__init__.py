"""The outside: REST, tracking, webhooks, the dashboard and the command line.

`app` puts the rooms together, `server` serves it, `write_documents` writes the OpenAPI and AsyncAPI
documents. `api` imports `connectors`, `tables` and `streams`, and never `agents`: the two meet
through PostgreSQL and Kafka.
"""
