"""Mails that come back, on real Kafka and PostgreSQL."""
