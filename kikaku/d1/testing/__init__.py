"""Helpers for tests: an engine, its gateway and databases, and jobs in parallel processes."""
