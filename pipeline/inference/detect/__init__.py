"""Find objects in scenes of any size with a run's final classifier."""
