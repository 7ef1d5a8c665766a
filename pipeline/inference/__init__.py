"""Use a finished run: generate chips, detect objects."""
