"""Find scenes that show the same ground, from their pixels alone."""
