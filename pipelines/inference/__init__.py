"""Replies and pictures from a trained checkpoint: generation, streaming, adapters in memory, captions."""
