"""Event folders of OpenHands: one JSON file per event, numbered."""
