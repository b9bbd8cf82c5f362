"""The records that flow and the machinery that moves them: topics, contracts, settings, and the
exactly-once agents.

The files beside the rooms are settings, topics, errors and metrics, which every room uses.
`streams` imports no other package of ours; all others import it.
"""
