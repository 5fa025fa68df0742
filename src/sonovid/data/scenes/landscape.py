"""Landscape: nine kinds of sounding nature (after Lee et al. 2022), picture and sound driven by the same curves and events."""

from sonovid.data.scenes.fires import FIRES
from sonovid.data.scenes.setting import make_world
from sonovid.data.scenes.waters import WATERS

LANDSCAPE = make_world("landscape", {**WATERS, **FIRES})
