"""Messages of the Vercel AI SDK: UI messages of versions 4 and 5."""
