"""PostgreSQL as the other rooms use it: one engine and pool, units of work, failures by SQLSTATE,
and the outbox.

Nothing outside this room imports the driver. The room imports `models` and `streams`.
"""
