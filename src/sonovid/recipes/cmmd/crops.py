"""Clips with a margin: CMMD caches longer crops, from which the contrastive loss cuts temporally shifted negatives."""

from dataclasses import replace
from fractions import Fraction

from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, count, duration
from sonovid.diffusion.contrastive import CropWindow


def add_margin(geometry: Geometry, margin: int) -> Geometry:
    """The geometry of a crop with `margin` frames before and after a clip."""
    return replace(geometry, num_frames=geometry.num_frames + 2 * margin)


def find_window(geometry: Geometry, margin: int, codecs: AV) -> CropWindow:
    """Find the window of a clip's latents within the latents of its crop. In audio it is exact to the nearest step.

    Args:
        geometry: geometry of the clip.
        margin: frames before and after it.
        codecs: the codecs of both streams.

    Raises:
        ValueError: the codecs do not fit the geometry, or the video codec compresses in time.
    """
    shapes = codecs.map(lambda codec: codec.latent_shape(geometry))
    crop_shapes = codecs.map(lambda codec: codec.latent_shape(add_margin(geometry, margin)))
    if shapes.video[1] != geometry.num_frames:
        raise ValueError(
            f"{geometry.num_frames} frames have {shapes.video[1]} latent frames: CMMD needs a video codec of single frames"
        )
    hops = Fraction(geometry.sample_rate, codecs.audio.log_mel.hop)
    start = AV(margin, count(duration(margin, geometry.fps), hops))
    length = AV(shapes.video[1], shapes.audio[1])
    assert all(s + n <= shape[1] for s, n, shape in zip(start, length, crop_shapes, strict=True))
    return CropWindow(start, length, AV(geometry.fps, hops))


def remove_margin(crop: Clip, geometry: Geometry, margin: int) -> Clip:
    """Cut a clip out of its crop, with the events within it."""
    assert crop.frames is not None
    assert crop.waveform is not None
    begin = duration(margin, geometry.fps)
    first = count(begin, geometry.sample_rate)
    events = tuple(t - float(begin) for t in crop.events if begin <= t < begin + geometry.seconds)
    return replace(
        crop,
        frames=crop.frames[margin : margin + geometry.num_frames],
        waveform=crop.waveform[:, first : first + geometry.num_samples],
        events=events,
    )
