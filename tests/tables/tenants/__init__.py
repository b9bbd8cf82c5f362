"""Tests of tables/tenants."""
