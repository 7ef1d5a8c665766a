"""Gan stage: one conditional generator per split."""
