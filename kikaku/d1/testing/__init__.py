"""Helpers for tests: an engine, requests to its gateway, connections to its databases, jobs in parallel processes."""
