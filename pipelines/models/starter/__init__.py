"""The starter: the embedded default model, its weights, and the script that makes them."""
