"""Real PostgreSQL and NATS servers for tests, and tools that cut, stop and load them."""
