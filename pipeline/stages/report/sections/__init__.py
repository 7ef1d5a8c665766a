"""Sections of the report: each returns data."""
