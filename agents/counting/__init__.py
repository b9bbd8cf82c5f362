"""agents/counting."""
