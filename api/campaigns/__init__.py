"""The routes of campaigns: lifecycle, time, A/B tests, figures and event streams. `commands` builds
and carries out a command, `answers` adds the live side, `schemas`, `figure_schemas` and
`ab_test_schemas` hold the answers. The room imports `api.http`, `api.limits` and no other room of
`api`.
"""
