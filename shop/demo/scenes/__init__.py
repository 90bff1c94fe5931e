"""What the demo pictures show: one module for each kind of goods."""
