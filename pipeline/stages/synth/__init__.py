"""Labelled synthetic chips: generated, screened, and kept with the reasons."""
