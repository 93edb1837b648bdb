"""What is right for an architecture that no test has proven: found out on a small copy of it."""
