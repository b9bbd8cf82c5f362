"""Tests of ETag, If-Match and If-None-Match."""
