"""tests/tables/contacts."""
