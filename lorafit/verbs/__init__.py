"""What one does with an adapter or a file: one module a verb, each with a typed result; none knows another."""
