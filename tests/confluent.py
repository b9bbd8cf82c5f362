"""The settings of Kafka in the words of confluent-kafka, which tests read and write with."""

from __future__ import annotations

from streams.settings import Settings


def access(settings: Settings) -> dict[str, str]:
    """librdkafka's configuration: where Kafka is and, by password or certificate, how to get in."""
    words = {
        "bootstrap.servers": settings.kafka,
        "security.protocol": settings.kafka_security,
        "sasl.mechanism": settings.kafka_mechanism,
        "sasl.username": settings.kafka_user,
        "sasl.password": settings.kafka_password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ca_file,
        "ssl.certificate.location": settings.kafka_certificate_file,
        "ssl.key.location": settings.kafka_key_file,
    }
    return {name: value for name, value in words.items() if value}
