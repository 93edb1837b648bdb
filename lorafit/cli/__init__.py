"""The command line: thin Typer commands over `lorafit.workflows`. Nothing heavy is imported before a command runs."""
