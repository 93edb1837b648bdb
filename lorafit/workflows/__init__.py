"""One function for each thing lorafit does, each with a typed result. Import the one you need from its module."""
