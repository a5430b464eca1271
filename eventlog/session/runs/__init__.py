"""Runs: the supervised execution of an inbound message as a turn, with restarts and providers."""
