"""Trouble from below: the power is cut at every step, the disk is full, the database is locked, the clock jumps.

The acts and the worlds are those of the histories (`ledger.tests.histories`); here each trouble meets each operation,
one by one, and as real as it can be had: SIGKILL, SQLite's own "disk is full", another process that holds the lock.
"""
