"""A message for one recipient: composed for sending, previewed, or sent as a test.

`content` is the compiled content of a campaign, `composing` turns it into the message of each
recipient, `preview` shows it and `trial_sends` sends it to a colleague. The room imports
`connectors.templates`, `tables` and `streams`.
"""
