"""PostgreSQL as the other rooms use it: one engine and pool, units of work, failures by SQLSTATE,
the outbox, the settings that all processes share, and how long rows are kept.

No other room imports the driver, except to compose the names of partitions (`audience.blocks`). The
room imports `tenancy`, `models` and `streams`.
"""
