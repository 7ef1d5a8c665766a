"""The gan stage: one conditional generator per split."""
