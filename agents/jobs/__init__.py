"""agents/jobs."""
