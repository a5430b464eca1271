"""Message histories of pydantic-ai, as its type adapter dumps them."""
