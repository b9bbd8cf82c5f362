"""Kafka, PostgreSQL and NATS on one machine, from packages alone, and the supervisor that keeps
them running.
"""
