"""Run the command line: ``python -m satpipe``."""

from .commands import main

main()
