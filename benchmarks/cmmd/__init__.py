"""CMMD: what it costs, and what the paper claims of it."""
