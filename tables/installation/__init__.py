"""The settings that the processes of an installation have agreed on, and the comparison of
PostgreSQL with Kafka.

`installation` is the row of settings that `campaigns prepare` writes, `rounds` the comparison of
the two, `settings_watch` the service that looks at both while a process runs. The room imports
`tables.database`, `tables.tenancy` and `tables.models`.
"""
