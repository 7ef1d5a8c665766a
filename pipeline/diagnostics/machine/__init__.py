"""Check of whether this machine and its libraries can run the pipeline: what `satpipe doctor` does."""
