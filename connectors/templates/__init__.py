"""The template language: a safe part of Jinja, compiled once per campaign and rendered per
recipient.

`rendering` is the engine behind preview and sending alike; the room `language` and `values` bound
what a template can cost, and the two modules of checks tell an author what is wrong. Imports
`streams` and `tables` for channels, errors and contact fields, and no other connector.
"""
