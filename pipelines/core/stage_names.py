"""The stages of a job in the words that a creator reads: one table for the command line and the studio.

What the stages are is in `events.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

STAGE_NAMES: Mapping[str, str] = {
    "prepare": "Getting ready",
    "sft": "Learning the basics",
    "grpo": "Practising with feedback",
    "evaluate": "Checking",
    "save": "Finishing",
    "reply": "Answering",
}
"""Stage of an event -> its words."""
