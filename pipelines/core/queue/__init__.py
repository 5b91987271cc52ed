"""Sending jobs: submission and the broker that notifies workers."""
