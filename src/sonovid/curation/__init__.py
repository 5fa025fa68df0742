"""What is done to a folder of clips before it is trained on: faults and copies found, long videos cut into clips.

checking      faults of single clips, and copies among them, with nothing changed
fingerprints  clips that are the same to eyes and ears, whatever they were encoded with
splitting     long videos to clips at shot boundaries
"""
