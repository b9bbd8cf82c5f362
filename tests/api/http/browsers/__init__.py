"""Tests of what browsers send and heed."""
