"""What a run is: its configuration, one frozen model per stage, read from YAML and --set."""
