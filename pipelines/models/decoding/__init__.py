"""Sampling from a decoder: KV caches, prefix caches, static steps, several LoRAs in one batch."""
