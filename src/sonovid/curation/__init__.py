"""Curation of training data: quality checks, duplicate detection, shot splitting and captioning.

captioning    captions by image-text models of transformers
checking      faults of single clips and duplicates among them; files are not changed
fingerprints  perceptual hashes of video and audio, for duplicates in any encoding
splitting     splitting long videos into clips at shot boundaries
"""
