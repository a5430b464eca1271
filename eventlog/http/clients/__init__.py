"""The clients of the API, one for asyncio and its plain twin, with sessions, turns and streams."""
