"""The training loop of every recipe, its checkpoints, and the objectives of the codecs.

config                  `TrainingConfig`: how a model is trained
job                     `Job`: a model, its objective, its data and its config
loop                    `train`: the training loop
step                    one training step
validation              losses of the EMA weights on held-out samples
recorder                progress bar and log of a run
utilization             model FLOPs utilisation on GPUs
run                     `TrainingRun`: model, optimisers, EMA weights, and their checkpoints
batches                 order of the samples; batches prepared ahead
objective_modules       model and objective as one module, for DistributedDataParallel and autocast
optimizers              AdamW, Muon, the learning rate schedule
ema                     exponential moving average of the weights
seeding                 seeds of noise, dropout and initialisation
checkpoint              checkpoint files, verified by checksums
frozen_weights          frozen weights, saved once beside the checkpoints
initialization          fine-tuning from a trained model, and of one stream
gradient_checkpointing  gradient checkpointing for any model
logs                    mean losses by stream, noise level and conditioning; log.jsonl and TensorBoard
lock                    one run per output folder
distributed             the processes of a run
preemption              SIGTERM ends a run with a checkpoint
reconstruction          objectives of the codecs
hierarchical            objective of MM-LDM's autoencoder
melgan                  objective and discriminators of MelGAN
decoder_fine_tuning     fine-tuning of a frame decoder
perceptual              LPIPS
biquads                 random audio filters
"""
