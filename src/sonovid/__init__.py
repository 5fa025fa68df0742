"""sonovid: models of sounding video, trained, run and measured in one place."""
