"""The proof of isolation: crowds of processes whose histories a checker judges, and interleavings forced by hand.

`checker.py` judges what `list_append.py` did; `test_crowds.py` counts what must add up, and
`test_interleavings.py` puts two transactions into the one order that hurts. More of it, by hand:
`D1_ISOLATION_SCALE=20 pytest …/tests/isolation`; `D1_ISOLATION_SEED=…` repeats the choices of a run,
though not the order in which the processes got their turns.
"""
