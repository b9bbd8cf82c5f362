"""The records of the pipeline: messages and reports, which are public, and the engine's own grants,
facts and counts.

`message_id` is the id that names a recipient and proves itself; every other module is the records
of one topic with their encoding. The room imports `streams.contracts`, `streams.settings` and the
files of `streams`.
"""
