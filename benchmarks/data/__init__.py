"""Data: start-up over large manifests, and windows of long files."""
