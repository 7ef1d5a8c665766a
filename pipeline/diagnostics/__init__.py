"""Look at a folder of data, or at this machine, before there is a run."""
