"""One configuration at many values of some of its keys: a grid or random draws, run together, in one table."""
