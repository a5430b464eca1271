"""Chat messages of model providers to messages, and back: pure conversions of values."""
