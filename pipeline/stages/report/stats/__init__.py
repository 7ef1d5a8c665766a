"""Statistics of the report: pure functions."""
