"""Scores of checkpoints on the held-out split, and the card beside an adapter."""
