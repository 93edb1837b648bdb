"""One file a command, or a few that belong together. app.py imports the one that is asked for."""
