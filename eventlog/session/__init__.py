"""The domain, pure: what a session is, and what its commands decide."""
