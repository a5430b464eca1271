"""Verify a log: the hash chain, the state machines, and what is derived from the events."""
