"""Base models behind one contract: presets, Janus, the starter, and how they are sampled from."""
