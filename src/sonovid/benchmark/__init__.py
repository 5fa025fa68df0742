"""One table of several systems: the same held-out scenes put to each, and what comes back measured alike."""
