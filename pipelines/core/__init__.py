"""The nouns and where they are kept; imports no torch."""
