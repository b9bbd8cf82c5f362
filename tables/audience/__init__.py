"""The recipients of a campaign, from the staged audience to the last status of each.

`staging` writes the rows, `chunks` reads them for sending, `projection` keeps their status;
replies, soft bounces and test-sends use the same ledger. The room imports `campaigns`, `directory`,
`tenants`, `models` and `database`.
"""
