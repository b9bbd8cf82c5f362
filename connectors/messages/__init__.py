"""A message for one recipient: composed for sending, previewed, or sent as a test.

`content` is the compiled content of a campaign, `composing` its use for a recipient. The room
imports `connectors.templates`, `tables` and `streams`.
"""
