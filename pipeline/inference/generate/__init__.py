"""Labelled synthetic chips from a run's final generator, as files for other programs."""
