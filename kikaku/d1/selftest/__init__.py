"""Asks a live database whether it is as the backend takes it for. `manage.py d1_selftest` prints what it says.

Each assumption is a small function that tells what it saw, or raises `DoesNotHold`. Everything happens in scratch tables
whose names begin with `_d1_selftest_`; blocks use the backend's own bookkeeping (`_d1_commit` and so on) besides, as any
block does. Other tables are not touched.
"""
