"""The command line: thin Typer commands. Nothing heavy is imported before a command runs."""
