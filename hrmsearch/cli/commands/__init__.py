"""The commands, one a file: the file's name is the command's, and its `command` is a click command.

A module here imports nothing heavy at the top, since `hrmsearch --help` loads them all.
"""
