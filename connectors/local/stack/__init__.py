"""The local stack: engines and processes that `campaigns up` starts, watches and restarts.

`home` is its place and environment, `home_folder` closes it to other users, `credentials` are its
secrets; `roles` is the table of processes, `supervisor` the loop, `unit` one process of it,
`status` the file that others read. Imports `engines` and `streams.settings`; the processes are
started as commands.
"""
