"""Histories of a shop in which anything happens in any order, and what must be true after each of them.

A history is a list of actions: plain values that a failing test prints and that can be pasted into a test.
Hypothesis generates and shrinks them. A `World` runs a history with a database, a Stripe, a disk and a clock
of its own. Then all events arrive, the jobs run until no work is left, and every day is closed. `checks`
compares our rows with each other and, without our code, with Stripe's objects.
"""
