"""One loop for every recipe, its checkpoints, and what each kind of model regresses.

settings        how a run is trained: plain values
loop            steps, averaged weights, validation, exact resumption
checkpoint      written aside and renamed, read back whole or not at all
logs            means of losses by stream, noise level and what was given, to log.jsonl and TensorBoard
reconstruction  what the codecs regress
"""
