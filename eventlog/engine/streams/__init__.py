"""Writing messages in chunks, following them, and ending those whose producer is gone."""
