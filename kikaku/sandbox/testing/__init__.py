"""Helpers for tests of the stand-in: Stripe's client, sessions, payments, and a clock."""
