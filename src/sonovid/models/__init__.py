"""The networks, pair to pair, one file for each system."""
