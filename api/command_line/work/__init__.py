"""The commands of a tenant: contacts in, templates, campaigns from draft to stats, and the live
table.

Campaigns go through the REST API; imports, templates and tenants go to the stores directly, because
they work without a running API. Imports the files of the command line, the schemas of `api.tenant`,
`connectors.templates` and `tables`.
"""
