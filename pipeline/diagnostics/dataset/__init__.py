"""What lies in a folder of the user's, and a configuration for it: what `satpipe init` does."""
