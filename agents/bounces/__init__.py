"""Bounces: mails that come back become events on `pipeline.events.v1`.

`listening` takes them by SMTP and `mailboxes` reads them by IMAP, both in the role `deliver`, which
sends the mails that they are about: it has the routes of all tenants with their secrets, it may
reach the servers that tenants name, and it is stopped and started without a caller noticing. The
API, which takes webhooks, sees one tenant at a time and reaches no mail server on its own. Imports
`connectors`, `tables` and `streams`.
"""
