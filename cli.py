"""The command line of a checkout: ``python cli.py run all`` is ``satpipe run all``."""

from satpipe.commands import cli, main

__all__ = ["cli", "main"]

if __name__ == "__main__":
    main()
