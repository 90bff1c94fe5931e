"""Django's SQLite backend with a fair lock: writers take turns in the order in which they came."""
