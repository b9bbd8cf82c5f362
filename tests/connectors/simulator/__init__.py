"""tests/connectors/simulator."""
