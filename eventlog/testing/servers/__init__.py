"""Real PostgreSQL and NATS servers for tests, and what cuts, stops and loads them."""
