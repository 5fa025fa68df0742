"""sonovid scenes: procedural sounding clips with known event times, as files."""
