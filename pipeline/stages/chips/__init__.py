"""Chips: cut around labels and in the background, searched for duplicates, dealt into splits."""
