"""Sonovid: models of sounding video, trained, run and measured in one place.

The map, in the order in which imports may point:

    atomic.py                   files and folders that appear whole or not at all: written beside their place, then renamed
    progress.py                 one progress bar for the whole package: a bar on a terminal, a few lines in a log
    av.py                       the pair that travels through the whole library, and the tasks that say which half is noise
    geometry.py                 seconds, frames, samples, mel frames and latent steps
    clip.py                     Clip: pictures and their sound with what is known about them
    classes.py                  the names whose numbers a model's labels are
    text_files.py               manifests, lists and captions that people write, read in one way: marks, line ends, errors by line
    model.py                    Model: a network with a config and a folder, in the layout of diffusers, without importing it
    ray_session.py              Ray for as long as it is needed, for encoding and for measuring
    processes.py                a `map` by spawned processes that keeps order, whatever their number
    condition.py                what a denoiser is told beside the noisy pair: text, and which streams are generated
    media/animated.py           animated WebP as a container that FFmpeg reads
    media/companions.py         what else a film holds: further tracks, subtitles, chapters and tags
    media/decoded.py            a sound as its decoder hands it out, with no regard to time stamps
    media/encoded_anew.py       a film's pictures encoded anew: every picture at its own time, HDR as HDR
    media/files.py              files as such: opening what somebody brought, and putting an output in place in one step
    media/frame_stream.py       the pictures of a file one after the other, in memory that does not grow with its length
    media/info.py               what a media file holds, found without decoding more than its first picture
    media/kinds.py              what kind of file somebody brought, by its first bytes
    media/loudness.py           how loud a sound is (EBU R 128), and sounds brought to a loudness, mixed, ducked
    media/pictures.py           pictures out of a file: their time stamps, the one on screen at a given time
    media/progress.py           how far reading and writing have come, told to whoever asked for it
    media/reader.py             a media file to a Clip
    media/remux.py              one half of somebody's file kept as it is, packet by packet, beside a new other half
    media/sound.py              sound out of a file: samples placed by their time stamps, mixed to one channel, resampled
    media/source.py             what is read of a file: all of it or a part, or numbered pictures at a rate
    media/streaming.py          a clip written as it is made, piece by piece, in memory that does not grow with its length
    media/writer.py             a Clip to a media file: pictures and sound of exactly the same length, and never half a file
    preview.py                  a clip as one picture: frames in a row above the log-mel spectrogram of its sound
    data/clips.py               entries to clips of one geometry: windows of files and rendered scenes, by a pool of processes
    data/cluster.py             clips encoded through Ray Data, on one machine or many
    data/entry.py               Entry: one stretch of a media file, or one scene, with what is known of it
    data/latents.py             the latent cache: raw latents of clips, each under a key of its own
    data/listing.py             entries written down as a manifest
    data/migration.py           latent caches of the first version, taken over
    data/probes.py              how long files are and what they hold, found once and kept
    data/shards.py              shards of a latent cache: tar files that webdataset and datasets read, found into at random
    data/manifest.py            what there is to train on: a folder, a CSV or JSONL manifest, or a specification of scenes
    data/scenes/bounces.py      bounces: a ball of some material and colour falls and bounces under a gravity that varies
    data/scenes/canvas.py       shapes given by signed distances, painted with smooth edges on all frames at once
    data/scenes/dance.py        dance: a figure whose movements arrive on the beats of the music it hears (after AIST++)
    data/scenes/draws.py        random values of a scene, the same on every machine and under every version of numpy
    data/scenes/fires.py        thunder with its lightning, wind, a crackling fire, explosions
    data/scenes/hits.py         hits: a wooden stick strikes things of eight materials (after Greatest Hits, Owens et al. 2016)
    data/scenes/kitchen.py      kitchen: chopping, a running tap, sizzling and the clatter of a lid (after EPIC-Sounds)
    data/scenes/landscape.py    landscape: nine kinds of sounding nature (after Lee et al. 2022)
    data/scenes/materials.py    how struck things sound
    data/scenes/music.py        drums, bass and chords on a beat, synthesised for the dancers
    data/scenes/setting.py      what one landscape is made of
    data/scenes/things.py       what the stick strikes in hits, how it looks and how it answers a blow
    data/scenes/track.py        a sound being put together from modes and noises
    data/scenes/waters.py       rain, waves, a waterfall, bubbles under water, a boot that squishes in a puddle
    data/scenes/world.py        a family of scenes: each a function of its seed alone, sampled by a geometry
    data/sources/aist.py        AIST++: dancers and their music, the crop of MM-Diffusion or the raw videos
    data/sources/audioset.py    AudioSet: ten seconds with the sounds in them by name
    data/sources/epic_sounds.py EPIC-SOUNDS: kitchens with every sound's beginning, end and class
    data/sources/greatest_hits.py Greatest Hits: a drumstick strikes things, with each contact annotated
    data/sources/landscape.py   Landscape: nine kinds of sounding nature
    data/sources/layout.py      what readers of public datasets share: files by name, lists, stretches of equal length
    data/sources/vggsound.py    VGGSound: ten seconds of one of 309 kinds of sound
    codecs/apart.py             two codecs that know nothing of each other, as one codec of the pair
    codecs/audio.py             sound to latents and back: a mel spectrogram, an autoencoder of it, and a vocoder
    codecs/audio_image.py       sound as a picture: a mel spectrogram in grey, as large as a frame, and back (MM-LDM)
    codecs/base.py              the signatures of all codecs, of one stream and of the pair: data to raw latents and back
    codecs/hierarchical/autoencoder.py MM-LDM's autoencoder: a window of both streams to two small latents, back by diffusion
    codecs/hierarchical/discriminator.py the cross-modal discriminator: an audio image and two frames, of one clip or not
    codecs/hierarchical/encoders.py latents of all frames, and of the audio image, to perceptual latents
    codecs/hierarchical/layers.py the parts that MM-LDM's autoencoder is made of
    codecs/hierarchical/network.py what is learnt of MM-LDM's autoencoder, as one model
    codecs/hierarchical/semantics.py the shared semantic space: projectors, classification, contrast
    codecs/hierarchical/signal_decoder.py one diffusion U-Net for frames and audio images, told of latents by hooks
    codecs/composite.py         codecs made of parts, saved as one folder
    codecs/joint_text.py        prompts for a model of two text encoders: words for the pictures, and one vector for the sound
    codecs/mel.py               waveforms to log-mel spectrograms
    codecs/melgan.py            MelGAN's generator: log-mel frames to a waveform by upsampling convolutions
    codecs/open_sora.py         Open-Sora 1.2's video autoencoder: single frames, then chunks of 17 in time (UniForm's codec)
    codecs/pretrained.py        released autoencoders and vocoders behind this package's codecs, by hub id or local folder
    codecs/spectrogram.py       SpectrogramCodec: waveform to log-mel, autoencoder and vocoder as one audio codec
    codecs/spacetime.py         clips to latents compressed in space and time: a light autoencoder for a CPU
    codecs/text.py              prompts to embedded words: hashed, with no weights at all, or by a released text encoder
    codecs/video.py             frames to latents: a light autoencoder of single frames, small enough to train and run on a CPU
    codecs/vocoder.py           log-mel frames to a waveform: a network in the spectral domain
    codecs/whitening.py         raw latents to final ones and back: one mean and one standard deviation per channel
    denoisers/base.py           the one signature of all denoisers: a noisy pair and its times in, a predicted pair out
    denoisers/blocks.py         transformer blocks over a grid of tokens [b t s d]
    denoisers/cmmd.py           CMMD: a dual U-Net over frame latents and a mel spectrogram, joined by easy fusion
    denoisers/fusion.py         easy fusion: each stream's self-attention sees the other stream beside itself (CMMD, eq. 6)
    denoisers/layouts.py        two ways to lay a pair of latents out as one grid of tokens
    denoisers/pixart.py         UniForm from the weights of PixArt-alpha, an image model of the same blocks
    denoisers/residual.py       residual blocks of a dual U-Net, channels last: 2D+1D for pictures, 1-D for sound
    denoisers/uniform.py        UniForm: one diffusion transformer over the tokens of both streams (Zhao et al. 2025)
    denoisers/uniform_sequence.py UniForm as one sequence: full attention over both streams and the words, for small machines
    denoisers/mmldm/layers.py   the parts of MM-LDM's transformer: blocks of full attention, where a stream enters and leaves
    denoisers/mmldm/transformer.py MM-LDM's generator: a transformer over the context and both streams (Sun et al. 2024)
    denoisers/mmldm/continuation.py the generator that goes on from the window before, by a second transformer
    denoisers/mmldm/released.py checkpoints of the released transformer and continuation network in this package's names
    denoisers/svg/connector.py  connectors: what one stream tells the other, as one vector per step of its time
    denoisers/svg/joins.py      joins: the modules set into the frozen U-Nets, where one stream takes in the other's context
    denoisers/svg/joint.py      SVG: a video and an audio U-Net that were trained apart, joined (Ishii et al. 2024)
    denoisers/svg/released.py   the authors' trained checkpoint in this package's names
    diffusion/contrastive.py    the loss that also asks for pairs that do not belong together to be denoised badly (CMMD)
    diffusion/adjustment.py     timestep adjustment: how two schedules are brought into step, read from a model's losses (SVG)
    diffusion/cross_modal.py    training of one network for joint and cross-modal generation, all noised alike (MM-LDM)
    diffusion/guidance.py       functions from denoisers to a denoiser
    diffusion/losses.py         what is compared, and how: one value per sample throughout
    diffusion/noise.py          noise that belongs to the sample, whatever the batch size and the device
    diffusion/objective.py      what one training batch asks of a denoiser
    diffusion/sampler.py        the joint sampling loop, the rules that take one step of it, and lists of times
    diffusion/schedule.py       x_t = alpha(t) x_0 + sigma(t) eps, with t = 0 the data and t = 1 the noise
    training/activations.py     gradient checkpointing for any model: activations computed again, not kept
    training/adversarial_vocoding.py  what MelGAN is trained by: discriminators at three rates, their features, the mel
    training/average.py         averaged weights: an exponential moving average of what is trained
    training/biquads.py         random filters of the second order, that colour sounds for a vocoder
    training/checkpoint.py      checkpoints: written aside and renamed, read back whole or not at all
    training/hierarchical.py    what MM-LDM's autoencoder is trained by: Eqs. 1-3
    training/fine_tuning.py     what a frozen encoder's decoder is fine-tuned by: pixels, perceived distance, a judge of patches
    training/frozen.py          frozen weights beside a run's checkpoints: written once, referenced by each
    training/initial.py         fine-tuning: a trained model's weights to begin with, and one stream alone
    training/job.py             what the loop is given: a model, its objective, its data, and what is asked of them
    training/lock.py            one training per output folder
    training/logs.py            what a run writes down: means of losses by stream, by noise level and by what was given
    training/loop.py            the one training loop, for every recipe
    training/optimizers.py      the optimisers of a run, and which weights each of them moves
    training/perceptual.py      the perceptual distance of pictures on VGG16's features, with weights that the user brings (LPIPS)
    training/preemption.py      a scheduler's SIGTERM ends a training with a checkpoint and an exit code to requeue by
    training/ranks.py           the processes of one distributed run: waiting for each other, agreeing on small values
    training/reconstruction.py  what the codecs regress: frames, mel spectrograms and waveforms from what is left of them
    training/run.py             the state of one run, and how it is saved and comes back
    training/settings.py        how a run is trained, as plain values
    shipped.py                  where the model lies that comes inside the package
    folders.py                  model folders: found, checked and read; nothing in one is run
    denoising.py                a network and what it is told as the function that samplers call: guided, a given stream held
    arguments.py                what a pipeline was given, checked and brought to one form
    windows.py                  given pictures and sounds at a model's size and rates, the windows they are cut into
    extent.py                   how long a result is: that of the given clip, which is read, or the model's own
    output.py                   SoundingVideoOutput: what every pipeline returns
    provenance/record.py        what is known of a generated file: in its container, and in its content credentials
    provenance/certificates.py  the certificate that files are signed with: this machine's own, or somebody's
    provenance/credentials.py   C2PA content credentials: signed as the last step, in place in one step
    provenance/verifying.py     what a file says of where it comes from, and whether that holds
    foreign/base.py             the seam: what a family of diffusers' joint pipelines can do, is asked for, and gives
    foreign/loading.py          pipelines of diffusers read from a folder, from known libraries and safetensors alone
    foreign/mel.py              the log-mel spectrogram that LTX-2's audio VAE encodes
    foreign/ltx2.py             LTX-2: both streams from words, sound for pictures, pictures for a sound
    foreign/kandinsky6.py       Kandinsky 6: both streams from words
    foreign/cosmos3.py          Cosmos 3: both streams from words, sound for pictures
    foreign/minimax_h3.py       MiniMax-H3: both streams from words
    foreign/families.py         the families that are known, and which of them a model folder is of
    foreign/pipeline.py         ForeignPipeline: a family of diffusers behind the call of SoundingVideoPipeline
    request.py                  Request: everything one call of a pipeline may ask for, by the names that users of diffusers know
    given.py                    what a caller gives as pictures or as sound, brought to one form
    batching.py                 clips and windows that run through a network together: how many, joined, halved where memory ends
    decoding.py                 from latents to what was asked for: decoded in batches, windows joined
    generation.py               from a request to latents and on to clips, in batches; all that a pipeline does, without diffusers
    light.py                    LightPipeline: what SoundingVideoPipeline makes, for the command line, which has to start at once
    lora.py                     LoRA layers in a network, through peft
    pipeline.py                 SoundingVideoPipeline: text, pictures or sound in, a sounding video out
    continuation/drift.py       what a long video is like window by window, and after which it is no longer what it began as
    continuation/going_on.py    a long sounding video as an iterator of windows, each made from the one before
    continuation/joins.py       where windows meet: faded or eased into each other, and the steps left there beside the clip's own
    continuation/source.py      what is gone on from, at a model's size and rates, a stretch at a time
    continuation/ways.py        how a network goes on: from frames given at time zero, or shown the window before
    curation/fingerprints.py    clips that are the same to eyes and ears, whatever they were encoded with
    curation/checking.py        faults of clips and copies among them, with nothing changed
    curation/splitting.py       long videos to clips at shot boundaries
    captioning.py               captions for pictures by any image-text model of transformers
    metrics/base.py             what a metric is made of: how files are read, what is extracted, what is computed from that
    metrics/protocol.py         what clips are brought to before they are measured: how much of each, at which rate and size
    metrics/sets.py             a set of clips to be measured: from a folder or a list, named, hashed, faulty files left out
    metrics/cache.py            features kept on disk, taken only where all that they depend on is the same
    metrics/extraction.py       files to features: read once, prepared by processes, embedded in batches, cached
    metrics/cluster.py          the same extraction through Ray Data, on one machine or many
    metrics/resampling.py       how far a number of whole sets varies with its clips: the bootstrap, affordably
    metrics/computing.py        from features to a number with its interval, floor and ceiling, for each kind of metric
    metrics/results.py          what a measurement leaves behind, as plain values in JSON
    metrics/record.py           what stands beside every number, and how the records of two numbers differ
    metrics/reconstruction.py   how near reconstructions are to what was reconstructed: metrics of codecs
    metrics/catalogue.py        all metrics by name and by family, and what each needs
    metrics/evaluate.py         sets of clips and metrics to results, for one or several systems
    metrics/compare.py          systems side by side: which differ, and which only seem to
    metrics/report/cells.py     what stands in a table, in words, the same everywhere
    metrics/report/terminal.py  tables in the terminal
    metrics/report/markdown.py  tables as Markdown
    metrics/report/drawing.py   plots of results as SVG: values between floor and ceiling, histograms of single clips
    metrics/report/page.py      one page of HTML with everything in it, the best and the worst clips to play
    metrics/quality.py          metrics of one stream by itself: how steady pictures are, how clean speech sounds
    metrics/alignment.py        events in a sound and in its pictures, and how well two lists of events agree
    metrics/av_align.py         AV-Align in its four published forms, on lists of peaks
    metrics/beats.py            beats of one piece of music against those of another, by lists of times
    metrics/offset.py           how far a clip's sound lies from its pictures, with a sign and a confidence
    metrics/synchrony.py        the metrics of synchrony that need no network
    metrics/semantic.py         metrics of networks that know what is seen, heard and said, or what is out of step
    metrics/rows.py             rows of features as the distances take them: finite, float64, each with the clip it came from
    metrics/frechet.py          the Fréchet distance, from features or streaming moments, exact without a matrix root
    metrics/kernels.py          distances by a kernel: KVD, KID, KAD, JEDi's MMD
    metrics/sizes.py            what the number of clips does to a distance: matched subsets, halves, the limit of many
    metrics/scores.py           IS, KL, cosines, AVHScore, JavisScore, DeSync, from what a network says of clips
    metrics/statistics.py       intervals over clips or raters, paired tests, effect sizes, many comparisons
    metrics/rating/questions.py what raters are asked, by the kind of generation, as CMMD and MM-LDM ask it
    metrics/rating/page.py      a rating study as one web page that asks nothing of a network
    metrics/rating/study.py     a rating study: clips of several systems, blinded and shuffled, and the key to them
    metrics/rating/answers.py   the raters' files to ratings by system, refused where they are not of the study
    metrics/rating/analysis.py  ratings to mean opinion scores with intervals over raters, and tests of each pair
    metrics/rating/tables.py    the result of a study as text, Markdown, JSON, HTML and box plots
    metrics/extractors/pretrained.py models of transformers from their folders, read whole or refused in one line
    metrics/extractors/pictures.py frames as video networks want them: windows, scaled, cropped, normalised
    metrics/extractors/vit.py vision transformers as VideoMAE and Synchformer publish them: the parts they share
    metrics/extractors/clap.py LAION's CLAP through transformers: sounds and words in one space
    metrics/extractors/msclap.py MS-CLAP 2023's sound half, from its own checkpoint
    metrics/extractors/videomae.py VideoMAE: cd-fvd's giant, and the base model of transformers
    metrics/extractors/vjepa.py V-JEPA 2 through transformers
    metrics/extractors/ast_audioset.py the Audio Spectrogram Transformer: AudioSet's 527 classes
    metrics/extractors/synchformer.py Synchformer's tokens of both streams, and the offset that it hears between them
    metrics/extractors/synchformer_network.py Synchformer by its published names
    metrics/flow_pictures.py    optical flow as pictures to look at, for previews
    metrics/video.py            the metrics of pictures: FVD and KVD on I3D, the inception score on C3D
    metrics/audio.py            the metrics of sound: FAD on VGGish, FD, IS, KL, KAD, KID on PANNs, the FAD of AudioCLIP
    metrics/extractors/cavp.py CAVP, Diff-Foley's first stage: pictures and sound in one space, four times a second
    metrics/extractors/passt.py PaSST: AudioSet's 527 classes at 32 kHz, by its published names
    metrics/extractors/imagebind.py ImageBind through the user's own install
    metrics/extractors/front_ends.py what networks see: log-mel spectrograms and resizing rules, as their authors have them
    metrics/extractors/peaks.py peaks of a sound's onsets and of the pictures' motion, beats, and the curves they are read from
    metrics/extractors/weights.py published weights: found, checked by their hash, read without running what is in them
    metrics/extractors/audioclip.py AudioCLIP's audio head: a spectrogram of learnt wavelets, and ResNeXt with attention
    metrics/extractors/batches.py sounds of one length through a network together
    metrics/extractors/c3d.py C3D on UCF-101: logits of 16 frames, for the inception score of video
    metrics/extractors/cnn14.py PANNs' Cnn14 at 16 kHz: features and AudioSet's classes of a sound
    metrics/extractors/i3d.py I3D on Kinetics-400: logits of 16 frames, for FVD and KVD
    metrics/extractors/vggish.py VGGish: features of every 0.96 s of sound, for FAD
    metrics/extractors/dnsmos.py what people would say of speech, by the networks of speechmos
    metrics/extractors/steadiness.py how much colours change from frame to frame
    metrics/extractors/embedded.py the embedded extractors: pictures, sounds and their offset, from networks in the package
    metrics/extractors/scene_networks.py the networks of the embedded extractors, learnt on procedural scenes
    metrics/scenes.py           the metrics of the embedded extractors: fvd_scenes, fad_scenes, sync_scenes and others
    benchmark/reader.py         a network trained on scenes that reads events out of pictures, and what is shown
    benchmark/held_out.py       the scenes that systems are compared on, and how they are handed out to other programs
    benchmark/counts.py         F1 of events over many clips, its interval, and whether two systems differ in it
    benchmark/scoring.py        folders of clips that systems made for the held-out scenes to one set of numbers
    benchmark/report.py         the table of a benchmark in the terminal, as Markdown, JSON and a page with clips side by side
    calibration/degradations.py what is done to clips of scenes, by degrees
    calibration/features.py     the arrays of extractors for every clip under every condition
    calibration/findings.py     what a metric makes of each degradation: whether it responds, in order, and how much
    calibration/tables.py       findings as tables in Markdown
    calibration/drawing.py      findings as figures
    calibration/calibrate.py    metrics and a plan to findings, with the record of how they were made
    recipes/base.py             recipes as nested frozen dataclasses: changed by "key=value", with near misses named
    recipes/caching.py          the latent caches of a training: which of its clips are encoded already, and the rest encoded
    recipes/cmmd.py             CMMD in three sizes, with and without its contrastive loss
    recipes/cmmd_training.py    CMMD's training from its recipe: longer crops cached, the network trained, a pipeline left
    recipes/codec_loss.py       what a training's codecs lose on its own clips, measured before it trains
    recipes/codec.py            the light codecs' trainings: frames, mel spectrograms, and waveforms from them
    recipes/codec_training.py   the light codecs' trainings from their recipes, on clips that are cached as they are
    recipes/fine_tuning.py      fine-tuning of a frame codec's decoder on frames and audio images: MM-LDM's, scenes, a toy
    recipes/fine_tuning_training.py  that fine-tuning from its recipe, with the figures before and after
    recipes/latent_training.py  what the trainings of all networks on latents share
    recipes/melgan.py           the improved MelGAN's training in three sizes: the paper's, one for scenes, a toy
    recipes/melgan_training.py  the improved MelGAN's training from its recipe, on any folder of sound
    recipes/needs.py            what a recipe takes from elsewhere: files, sizes, licences, and whether they are here
    recipes/parts.py            parts that a training takes over: codecs and text encoders, from this library's folders
    recipes/mmldm.py            MM-LDM's autoencoder and generator: three data sets at the paper's settings, scenes, a toy
    recipes/mmldm_continuation.py MM-LDM's continuation network: the published settings, scenes, a toy
    recipes/mmldm_continuation_training.py its training from its recipe, on pairs of consecutive windows
    recipes/mmldm_training.py   its two trainings, from clips to an autoencoder and from that one's latents to a pipeline
    recipes/svg.py              the SVG baseline's recipes: two base models each by itself, then joined
    recipes/svg_training.py     the SVG baseline's training from its recipe: base models loaded or begun, joined, trained
    recipes/uniform.py          UniForm in three sizes: the published one, the one in the package, a toy
    recipes/uniform_training.py UniForm's training from its recipe: latents cached, the network trained, a pipeline left
    app/settings.py             how the server is run: where it listens, what it keeps, what a request may ask of it
    app/errors.py               what a client is told when a request is refused: one line, a status, OpenAI's shape
    app/models.py               the models that a server offers, and their pipelines, loaded once for each device
    app/request.py              the fields of a request, checked against the model and the limits
    app/uploads.py              files that clients bring: under names of ours, probed before anything is queued
    app/store.py                jobs in SQLite
    app/jobs.py                 the queue: jobs taken in, worked on in order, cancelled, looked up, removed when old
    app/making.py               a job to files: the pipeline's call with its steps watched
    app/worker.py               one thread for each device, which takes jobs and makes them
    app/guard.py                what every request passes first: host, origin, token, size
    app/api.py                  the HTTP API: OpenAI's routes for videos
    app/page/look.py            how the page looks: the system's fonts, light and dark
    app/page/examples.py        files to try, rendered when they are first needed
    app/page/show.py            jobs as HTML: waiting, in progress, finished, failed
    app/page/generate.py        the first tab: words, a video or a sound in, the clip, its progress and the history
    app/page/score.py           the second tab: clips of one's own, measured
    app/page/table.py           the third tab: figures that were measured before
    app/page/build.py           the page put together from its tabs
    app/server.py               jobs, models, workers, API and page put together, and run
    commands/data.py            sonovid data: clips checked, split, captioned, filtered
    commands/data_facts.py      what clips, a manifest or a run hold, for sonovid info
    commands/app.py             sonovid app: a page and an HTTP API on this machine
    commands/device.py          where the networks of a command compute: what --device names, or the best that is here
    commands/evaluate.py        sonovid evaluate: folders of clips to numbers that can be trusted
    commands/metrics.py         sonovid metrics: which numbers there are, and what each needs
    commands/caption.py         sonovid caption: captions for a folder of clips by an image-text model
    commands/benchmark.py       sonovid benchmark: systems side by side on held-out scenes, whoever made their clips
    commands/compare.py         sonovid compare: systems side by side, and which of their differences mean something
    commands/reconstructions.py a model's codecs put to the test: clips of a reference and what its codecs leave of them
    commands/cache.py           sonovid cache: the latents that a recipe trains on, encoded before it trains
    commands/calibrate.py       sonovid calibrate: metrics held against clips whose truth is known
    commands/filtering.py       sonovid filter: the clips whose score lies above a threshold, as a manifest
    commands/foreign_models.py  sonovid generate and sonovid info for models of diffusers
    commands/exporting.py       entries of any source as files of their own, for what reads whole files
    commands/generate.py        sonovid generate: words, a video or a sound to a sounding video
    commands/given_media.py     the options of sonovid generate that concern media files: what is read, kept, how loud
    commands/import_released.py sonovid import: checkpoints that others released, rewritten as model folders of this package
    commands/inform.py          sonovid info: what a media file holds, or what a model makes
    commands/many.py            sonovid generate for a folder, a pattern or a list of inputs: resumable, with a summary
    commands/longer.py          sonovid generate for what is longer than a window, written as it is made
    commands/rate.py            sonovid rate: a blinded rating study as one offline web page, and the report of its answers
    commands/scenes.py          sonovid scenes: procedural sounding clips with known event times, as files
    commands/timesteps.py       sonovid timesteps: the loss of both streams over time, and the gamma that brings them into step
    commands/train.py           sonovid train and sonovid recipes: a named configuration, changed by key=value, run
    commands/verify.py          sonovid verify: where a file comes from, and whether what it says of that holds
    cli.py                      the command line: one parser, and one clear line for every error
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["AV", "Clip", "Geometry", "SoundingVideoOutput", "SoundingVideoPipeline", "Task", "__version__"]

# Public names and where they live: fetched when they are asked for, so that the command line starts at once.
_HOMES = {
    "AV": "av",
    "Clip": "clip",
    "Geometry": "geometry",
    "SoundingVideoOutput": "output",
    "SoundingVideoPipeline": "pipeline",
    "Task": "av",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sonovid' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sonovid.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
