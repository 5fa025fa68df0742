"""From clips to arrays: the feature extractors, each with its front end and the layout of its published weights."""
