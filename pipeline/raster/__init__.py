"""Pixels of scenes: guarded opening, blocks, resampling, windows, footprints."""
