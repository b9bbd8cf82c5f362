"""agents/sending."""
