"""Rusk Halloway, a fox who keeps a lighthouse, in cut paper."""
