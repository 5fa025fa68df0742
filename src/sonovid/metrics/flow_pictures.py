"""Optical flow as pictures to look at: colour for the direction, brightness for the length (SVG, Fig. 4)."""

from itertools import pairwise

import numpy as np
from jaxtyping import UInt8

from sonovid.metrics.extractors.peaks import FARNEBACK, needed

# What moves by this many pixels a frame, or more in a clip that moves more, is of full brightness.
LEAST_FULL = 1.0


def flow_pictures(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t h w 3"]:
    """A picture for each frame of the motion into it, by the optical flow that AV-Align is read from; that into the first is the
    second's.

    Args:
        frames: of one clip. What moves fastest in it, the slowest hundredth aside, is brightest, so clips differ in scale.

    Raises:
        Missing: OpenCV is not installed.
    """
    cv2 = needed("cv2")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    if len(grey) < 2:
        return np.zeros_like(frames)
    flows = [cv2.calcOpticalFlowFarneback(before, now, None, **FARNEBACK) for before, now in pairwise(grey)]
    flow = np.stack([flows[0], *flows])
    lengths = np.linalg.norm(flow, axis=-1)
    full = max(LEAST_FULL, float(np.percentile(lengths, 99)))
    # OpenCV counts half a circle of colours in degrees, 0 to 179.
    hue = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360 / 2
    value = np.clip(lengths / full, 0, 1) * 255
    hsv = np.stack([hue, np.full_like(hue, 255), value], -1).astype(np.uint8)
    return np.stack([cv2.cvtColor(picture, cv2.COLOR_HSV2RGB) for picture in hsv])
