"""Configuration of a run: one frozen model per stage, read from YAML and --set."""
