"""One process with a page and an HTTP API: a bounded queue of jobs before one worker per device."""
