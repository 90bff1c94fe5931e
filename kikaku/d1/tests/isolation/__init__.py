"""Tests of isolation: parallel processes whose histories a checker analyses, and chosen interleavings.

`checker.py` analyses what `list_append.py` did, `test_concurrent_processes.py` checks sums, and
`test_interleavings.py` runs two transactions in the order in which they conflict.
`D1_ISOLATION_SCALE=20 pytest …/tests/isolation` does more of it; `D1_ISOLATION_SEED=…` repeats the choices of
a run, though not the scheduling of its processes.
"""
