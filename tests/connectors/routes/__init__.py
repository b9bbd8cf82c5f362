"""What a route is checked for, with real relays and a real name server on loopback."""
