"""Transcripts of Claude Code: lines that form a tree through their uuids."""
