"""Files and worlds to clips, clips to cached latents."""
