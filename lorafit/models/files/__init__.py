"""The files of a base: where they are, and their tensors as they lie there."""
