"""What a user does with an adapter or a file: a module for each verb, with a typed result. No verb imports another."""
