"""From a character to token rows: samples, chat template, packing, replay chat, synthesised conversations."""
