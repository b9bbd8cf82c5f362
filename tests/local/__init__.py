"""The local stack: engines, supervisor, `campaigns up`."""
