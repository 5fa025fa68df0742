"""One loop for every recipe, its checkpoints, and what each kind of model regresses.

settings        how a run is trained: plain values
job             what the loop is given: a model, its objective, its data
loop            steps, validation, exact resumption
run             the state of a run: model, optimiser, averaged weights, how they are saved and come back
activations     gradient checkpointing for any model
initial         fine-tuning from a trained model, and of one stream
average         the averaged weights of what is trained
checkpoint      written aside and renamed, read back whole or not at all
frozen          frozen weights, written once beside the checkpoints
lock            one run per output folder
ranks           the processes of one run
preemption      SIGTERM ends a run with a checkpoint
logs            means of losses by stream, noise level and what was given, to log.jsonl and TensorBoard
reconstruction  what the codecs regress
"""
