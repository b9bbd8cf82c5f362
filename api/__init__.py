"""From outside: REST, tracking, the dashboard and the command line."""
