"""Unified-SFT and Character-GRPO on the TRL trainers, with their losses, rollouts and sharding."""
