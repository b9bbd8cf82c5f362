"""The metrics of every process, one line each; labels are of few values, so their number is
bounded.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_FAST = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Exactly-once agents: input, committed output, and the time of each half.
EVENTS = Counter(
    "campaigns_agent_events_total", "Input records whose transaction has been committed", ["agent"]
)
TRANSACTIONS = Counter("campaigns_agent_transactions_total", "Committed transactions", ["agent"])
RECORDS = Counter(
    "campaigns_agent_records_total",
    "Records written by committed transactions, state included",
    ["agent"],
)
BODY_SECONDS = Histogram(
    "campaigns_agent_body_seconds",
    "Time in the body of an agent per transaction",
    ["agent"],
    buckets=_FAST,
)
COMMIT_SECONDS = Histogram(
    "campaigns_agent_commit_seconds",
    "Time from begin to committed per transaction",
    ["agent"],
    buckets=_FAST,
)
SLOW_BODIES = Counter(
    "campaigns_agent_slow_bodies_total", "Warnings about a body that does not return", ["agent"]
)
DEAD_LETTERS = Counter(
    "campaigns_dead_letters_total", "Input that could not be used", ["agent", "code"]
)

# Ownership of partitions: moves on every rebalance; fencing shows as a restart, since a fenced
# worker ends.
PARTITIONS = Gauge("campaigns_partitions", "Source partitions this worker owns", ["role"])
RESTORE_SECONDS = Histogram(
    "campaigns_restore_seconds", "Time to fence the former owner and restore its state", ["role"]
)
RESTORED = Counter(
    "campaigns_restored_records_total", "State records read to restore partitions", ["role"]
)
LOST_TO_RETENTION = Counter(
    "campaigns_lost_to_retention_total",
    "Records, markers included, that retention deleted before they were read",
    ["topic"],
)
OLDEST_UNREAD = Gauge(
    "campaigns_oldest_unread_seconds",
    "Age of the oldest record of the last read; retention must not overtake it",
    ["role"],
)
LAG = Gauge(
    "campaigns_lag_records",
    "Records, markers included, between what is committed and the end of the sources",
    ["role"],
)

# Dependencies: 1 while work waits in place for one that does not answer.
DEPENDENCY_DOWN = Gauge(
    "campaigns_dependency_down",
    "1 while PostgreSQL, Kafka or NATS does not answer this process",
    ["dependency"],
)

# Events from the pipeline: everything read is either in facts or a dead letter.
INGESTED = Counter(
    "campaigns_ingested_events_total", "Events read from the pipeline, dead letters included", []
)
OF_TESTS = Counter("campaigns_test_events_total", "Events of test messages, which are dropped", [])

# Tracking: pixel, links and unsubscribe pages.
TRACKING_LOST = Counter(
    "campaigns_tracking_lost_events_total",
    "Opens and clicks that were lost, because a dependency was down",
    [],
)
TRACKING_REPEATS = Counter(
    "campaigns_tracking_repeats_total",
    "Opens and clicks that say nothing new, and so are not reported",
    [],
)
TRACKING_REFUSED = Counter(
    "campaigns_tracking_refused_requests_total",
    "Requests with a message id or link that is not ours",
    [],
)

# The HTTP server of the API.
CONNECTIONS_REFUSED = Counter(
    "campaigns_api_connections_refused_total",
    "Connections above CAMPAIGNS_API_CONNECTIONS, or above one address's share of them",
    [],
)

# Webhooks; `provider` is one of seven, `outcome` one of accepted, ignored, foreign-id, unmatched,
# unusable.
WEBHOOK_EVENTS = Counter(
    "campaigns_webhook_events_total",
    "Events that verified webhooks reported",
    ["provider", "outcome"],
)

# Mails that came back, by the listener or from a mailbox; `outcome` is a kind of event, or one of
# delay, auto-reply, nothing, foreign.
MAILS_BACK = Counter(
    "campaigns_mails_back_total",
    "Mails that were taken at addresses for bounces",
    ["way", "outcome"],
)

# A person's no that came in and had no effect. `source` is a provider, or `events` for the topic.
UNHEARD = Counter(
    "campaigns_unheard_total",
    "Complaints, unsubscriptions and STOPs that could not be used: dead letters, each needs a look",
    ["source"],
)

# Campaigns paused because more people complained than the limit allows.
COMPLAINT_PAUSES = Counter(
    "campaigns_complaint_pauses_total", "Campaigns paused for their complaint rate"
)

# NATS bridge.
NATS_PUBLISHED = Counter(
    "campaigns_nats_published_total",
    "Messages that JetStream has stored, repeats of a replay included",
)
NATS_DUPLICATES = Counter(
    "campaigns_nats_duplicates_total", "Repeats that the duplicate window of the stream has dropped"
)

# The throttle: granted messages. Sent ones are in the stats; the difference is in flight.
GRANTED = Counter("campaigns_granted_messages_total", "Messages granted for sending", [])

# Emission: every granted ordinal ends as one of these two.
EMITTED = Counter("campaigns_emitted_messages_total", "Messages committed to the pipeline", [])
SKIPPED = Counter(
    "campaigns_skipped_recipients_total",
    "Recipients without a message: erased, suppressed, no-address, render-error, too-long,"
    " key-withdrawn",
    ["reason"],
)

# Delivery by routes. `route` is tenant/name; `verdict` is one of twelve (connectors/delivery),
# `resolution` one of resend, hold, drop.
HANDED_OFF = Counter(
    "campaigns_delivery_hand_offs_total",
    "Hand-offs of messages to relays, by what the answer means",
    ["route", "verdict"],
)
DOUBTS = Counter(
    "campaigns_delivery_doubts_total",
    "Messages that were handed over and never answered, by what became of them",
    ["route", "resolution"],
)
ROUTE_DOWN = Gauge(
    "campaigns_delivery_route_down", "1 while a route takes no messages but a probe", ["route"]
)
OPEN_MESSAGES = Gauge(
    "campaigns_delivery_open_messages", "Messages read for delivery, and not settled yet", []
)

# The projection of facts into PostgreSQL.
PROJECTED = Counter("campaigns_projected_rows_total", "Recipient rows changed by facts", [])

# Background jobs. The last success is the whole installation's: every control worker shows the
# same.
JOB_RUNS = Counter(
    "campaigns_job_runs_total", "Runs by outcome: done or failed", ["job", "outcome"]
)
JOB_SECONDS = Histogram(
    "campaigns_job_seconds", "Time of a run, failed ones included", ["job"], buckets=_FAST
)
JOB_SUCCEEDED = Gauge(
    "campaigns_job_last_success_timestamp_seconds",
    "When a run last succeeded, Unix time; 0 = never",
    ["job"],
)

# Outbox: the records that SQL transactions left for Kafka.
OUTBOX_RELAYED = Counter(
    "campaigns_outbox_relayed_total", "Records carried from the outbox to Kafka"
)
OUTBOX_REFUSED = Counter(
    "campaigns_outbox_refused_total",
    "Records of the outbox that Kafka does not take; they are in the table outbox_refused",
)

# Housekeeping of PostgreSQL.
REMOVED_ROWS = Counter(
    "campaigns_removed_rows_total", "Rows removed because their time is over", ["table"]
)


def serve(port: int) -> None:
    """Serve /metrics on this loopback port; 0 = not at all. The listening thread ends with the
    process. Raises OSError.
    """
    if port:
        start_http_server(port, "127.0.0.1")
