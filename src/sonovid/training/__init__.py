"""One loop for every recipe, its checkpoints, and what each kind of model regresses."""
