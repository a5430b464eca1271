"""Turns: units of an agent's work in a session, with a lease and a fence."""
