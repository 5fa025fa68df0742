"""The app: a web page and an HTTP API that generate sounding video."""
