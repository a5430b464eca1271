"""Taking live messages out of a session, or putting others in their place."""
