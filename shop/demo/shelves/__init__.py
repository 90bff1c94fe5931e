"""The goods of the demo shop: one module for each category."""
