"""Inspection of a user's folder, and a configuration for it: what `satpipe init` does."""
