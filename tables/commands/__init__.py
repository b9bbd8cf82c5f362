"""The commands of REST and Kafka, carried out: one transaction for the row, the outbox and the
remembered answer.

`execute` is the entry, `verbs` and `series_verbs` do the changes, `due` and `milestones` act for
the clock and for the throttle. The room stands above every other room of `tables`, and may import
it.
"""
