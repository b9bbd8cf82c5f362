"""The routes that look at a campaign before it is sent: rendered for a contact, its audience
counted in a dry run, test messages to given addresses. `schemas` holds their bodies and answers.
The room imports `api.http`, `api.limits`, `api.directory` and `api.campaigns`.
"""
