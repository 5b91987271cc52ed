"""The library: everything about characters and models."""
