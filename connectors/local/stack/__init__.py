"""The local stack: engines and processes that `campaigns up` starts, watches and restarts.

`home` is its folder, ports and secrets, `roles` the table of processes, `supervisor` the loop,
`unit` one process of it, `status` the file that others read. Imports `engines` and
`streams.settings`; the processes are started as commands.
"""
