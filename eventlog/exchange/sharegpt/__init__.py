"""Conversations of ShareGPT: turns of the form ``{"from", "value"}``."""
