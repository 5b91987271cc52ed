"""Bytes under keys: the object store in a folder or on S3, and its garbage collection."""
