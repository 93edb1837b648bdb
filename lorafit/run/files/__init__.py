"""The files of a run: where they are, who may write them, and what they hold."""
