"""Tests of what the backend assumes of D1, on a live database; `manage.py d1_selftest` runs them.

Each assumption is a small function that returns what it found, or raises `DoesNotHold`. It works in scratch
tables whose names begin with `_d1_selftest_`; blocks also use the backend's own tables (`_d1_commit` and so
on), as any block does. Other tables are not touched.
"""
