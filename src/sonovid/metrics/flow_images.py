"""Visualisation of optical flow: hue for the direction, brightness for the length (SVG, Fig. 4)."""

from itertools import pairwise

import numpy as np
from jaxtyping import UInt8

from sonovid.metrics.extractors.optional import import_optional
from sonovid.metrics.extractors.peaks import FARNEBACK

# Full brightness is a flow of this many pixels per frame, or the 99th percentile of the clip if that is larger.
LEAST_FULL = 1.0


def flow_images(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t h w 3"]:
    """An image of the optical flow into each frame, computed as for AV-Align. The first frame gets the image of the second.

    Args:
        frames: of one clip. The brightness is relative to the 99th percentile of its flow, so clips differ in scale.

    Returns:
        uint8 RGB images.

    Raises:
        UnavailableError: OpenCV is not installed.
    """
    cv2 = import_optional("cv2")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    if len(grey) < 2:
        return np.zeros_like(frames)
    flows = [cv2.calcOpticalFlowFarneback(before, now, None, **FARNEBACK) for before, now in pairwise(grey)]
    flow = np.stack([flows[0], *flows])
    lengths = np.linalg.norm(flow, axis=-1)
    full = max(LEAST_FULL, float(np.percentile(lengths, 99)))
    # OpenCV stores the hue as half the angle in degrees, 0 to 179.
    hue = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360 / 2
    value = np.clip(lengths / full, 0, 1) * 255
    hsv = np.stack([hue, np.full_like(hue, 255), value], -1).astype(np.uint8)
    return np.stack([cv2.cvtColor(image, cv2.COLOR_HSV2RGB) for image in hsv])
