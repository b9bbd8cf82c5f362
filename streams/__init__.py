"""What flows: topics, contracts, codecs, settings, and the exactly-once agents everything else is
built on.
"""
