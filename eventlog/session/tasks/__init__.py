"""Tasks, which are part of the stream of their session."""
