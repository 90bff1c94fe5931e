"""The goods, pictures and texts of the demo shop: pure data and pure functions, no database."""
