"""The client of mail servers: `opening` gets in, `session` hands mails over, `connection` carries
commands and replies. Imports `connectors.delivery.outcomes` and the standard library.
"""
