"""The character: its dataclasses, its folder, its checks."""
