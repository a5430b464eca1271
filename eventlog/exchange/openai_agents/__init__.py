"""Session files of the OpenAI Agents SDK."""
