"""A project that installs the ledger without the shop; `ledger/tests/test_standalone.py` runs it."""
