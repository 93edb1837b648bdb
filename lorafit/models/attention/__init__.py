"""Attention over texts that share a row: which keys a query sees, with and without dropout."""
