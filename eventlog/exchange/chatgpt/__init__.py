"""Exports of ChatGPT: conversations as a mapping of nodes with parents and children."""
