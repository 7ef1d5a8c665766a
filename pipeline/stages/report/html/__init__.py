"""Lay out report data as one HTML page."""
