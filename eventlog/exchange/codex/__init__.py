"""Rollouts of Codex: items of the Responses API, each in an envelope with its time."""
