"""Transcripts of Claude Code: lines that form a tree by their uuids."""
