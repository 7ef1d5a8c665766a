"""A run's final models as a folder that people can publish, and that other programs read."""
