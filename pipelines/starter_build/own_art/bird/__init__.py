"""Plim, a round bird, in soft pastel gradients."""
