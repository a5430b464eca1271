"""Checkpoint files of LangGraph."""
