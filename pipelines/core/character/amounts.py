"""How much of a character is needed, and how much is good.

The one place from which the checks, the pages and (by a test) the README say it.
"""

from __future__ import annotations

MIN_IMAGES, GOOD_IMAGES, MAX_IMAGES = 5, 10, 15
"""Pictures of a character; fewer or more are an error."""
MIN_INTERACTIONS, TESTED_INTERACTIONS, GOOD_INTERACTIONS = 1, 8, 40
"""Conversations: fewer are an error; from the second number on some can be held out for the scorecard; short ones
count too."""
GOOD_FACTS = 20
"""Facts; none is needed."""
TESTED_REPLIES = 4
"""Answers that the held-out conversations have in all, for a score to rest on."""
HELD_OUT_AT_MOST = 4
"""At most one conversation in this many is held out by itself, so that three quarters stay to learn from."""
_OF_ONE_ANSWER = HELD_OUT_AT_MOST * TESTED_REPLIES
TESTED_AMOUNT = f"{TESTED_INTERACTIONS} of two answers each, or {_OF_ONE_ANSWER} of one, let the result be tested"
"""How many conversations let the result be tested."""
MORE_INTERACTIONS = f"{TESTED_AMOUNT}, about {GOOD_INTERACTIONS} are good, short ones count too"
"""What more conversations are good for, in words that follow a colon or a semicolon."""
