"""Metrics of texts, each as an official scorer computes it."""
