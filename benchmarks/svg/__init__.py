"""The SVG baseline: what joining two U-Nets costs, and what it brings."""
