"""Counts: what is known of each shard, the sums of whole campaigns, the rows of `campaign_stats`,
and seals.

`shards` is the arithmetic of `fold`, `views` keeps a compacted topic in memory. The room imports
`throttle`, `models`, `database` and `streams`.
"""
