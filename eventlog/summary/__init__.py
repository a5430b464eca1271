"""The summariser that needs no model."""
