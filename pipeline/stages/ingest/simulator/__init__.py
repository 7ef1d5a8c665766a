"""Simulated scenes of harbours and open sea."""
