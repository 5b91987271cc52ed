"""The pages: widgets only, no SQL and no keys of the object store."""
