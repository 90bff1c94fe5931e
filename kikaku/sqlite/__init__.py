"""Django's SQLite backend with a fair lock: writers wait in a queue, first come, first served."""
