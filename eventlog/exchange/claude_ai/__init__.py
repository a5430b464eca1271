"""Exports of claude.ai."""
