"""Metrics of labels and of real numbers."""
