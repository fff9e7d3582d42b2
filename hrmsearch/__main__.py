"""Lets `python -m hrmsearch` stand for the command `hrmsearch`."""

from hrmsearch.cli import main

main()
