"""Options of the commands: declared once, from the command line, a file and a preset."""
