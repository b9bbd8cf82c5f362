"""Unit, property, integration, fault, end-to-end tests and benchmarks."""
