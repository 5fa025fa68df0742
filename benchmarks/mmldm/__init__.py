"""MM-LDM: what it costs, and how it aligns its streams."""
