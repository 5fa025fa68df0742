"""Data loading: datasets and scenes to clips, and clips to cached latents.

manifest         reads a folder, a manifest, a public dataset or "scenes:WORLD:COUNT" as entries, and splits off held-out entries
manifest_writer  writes entries as a manifest
datasets         readers for public datasets as they lie on disk
clips            cuts entries into windows of one geometry and loads them as clips in parallel; writes scenes to a folder
probes           caches the durations of media files
latents          encodes clips into a cache of raw latents and computes their statistics
ray_encoding     encodes clips on a Ray cluster
scenes           procedural clips with sound and known event times
"""
