"""Landscape: nine classes of nature scenes (after Lee et al. 2022). The same curves and events drive video and audio."""

from sonovid.data.scenes.fires import FIRES
from sonovid.data.scenes.setting import make_world
from sonovid.data.scenes.waters import WATERS

LANDSCAPE = make_world("landscape", {**WATERS, **FIRES})
