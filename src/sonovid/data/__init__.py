"""Files and worlds to clips, clips to cached latents.

manifest  a folder, a CSV or JSONL manifest, a public dataset or "scenes:WORLD:COUNT" -> entries; what is held out
sources   how public datasets lie on disk
clips     entries -> windows of one geometry -> clips, by a pool of processes; scenes written as a folder
latents   clips -> raw latents in shards, each clip keyed by all that decides it, and their statistics
scenes    procedural sounding clips with known event times
"""
