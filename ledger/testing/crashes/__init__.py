"""Faults of the machine: power cuts at every step, a full disk, a locked database, a wrong clock.

The actions and worlds are those of the histories (`ledger.testing.histories`). Here each fault is tried with
each operation, as real as possible: SIGKILL, SQLite's own "disk is full", another process that holds the
lock.
"""
