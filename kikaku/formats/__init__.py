"""How dates are written by default, for each language (`FORMAT_MODULE_PATH`)."""
