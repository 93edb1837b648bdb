"""One training run, from its plan to its folder. Import what you need from its module."""
