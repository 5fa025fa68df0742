"""The app's server under load."""
