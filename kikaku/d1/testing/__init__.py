"""What tests of and on the D1 backend share. Product code does not import it."""
