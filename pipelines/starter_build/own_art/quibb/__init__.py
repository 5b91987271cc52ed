"""Quibb of the bundled characters, a cel-shaded cartoon."""
