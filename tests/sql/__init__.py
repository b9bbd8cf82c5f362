"""Tests of `tables/sql`."""
