"""Chips: cut around labels and in the background, searched for duplicates, assigned to splits."""
