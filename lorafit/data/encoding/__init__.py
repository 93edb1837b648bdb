"""Rows -> token ids, and which of them are targets."""
