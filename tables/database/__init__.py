"""PostgreSQL as the other rooms use it: one engine and pool, units of work, failures by SQLSTATE,
the outbox, the settings that all processes share, and how long rows are kept.

Nothing outside this room imports the driver. The room imports `tenancy`, `models` and
`streams`.
"""
