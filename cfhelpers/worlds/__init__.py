"""Small worlds whose answer is known: ``two_weights`` (penalties drawn in the plane) and ``feedback``."""
