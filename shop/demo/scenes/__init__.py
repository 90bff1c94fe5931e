"""The scenes of the demo pictures: one module for each kind of goods."""
