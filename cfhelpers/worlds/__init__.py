"""Small worlds whose answer is known: ``two_weights`` (penalties in the plane), ``feedback``, ``own_words``."""
