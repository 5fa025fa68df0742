"""Feature extractors, each with its preprocessing and the layout of its published weights."""
