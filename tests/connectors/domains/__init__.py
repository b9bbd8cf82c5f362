"""What DNS says of domains, on a real name server."""
