"""Step 2 of the wizard, who they are: texts and facts, and beside them the system prompt that the model reads.

Drawn by `create.py`; a field is saved when it is left.
"""

from __future__ import annotations

import html

import streamlit as st

from pipelines.core.character.system_prompt import (
    SYSTEM_PROMPT_TOKENS,
    budget_words,
    estimate_system_prompt,
    fits_system_prompt,
    system_text,
)
from studio import widgets
from studio.actions import create, drafts, suggestions
from studio.actions.create import Summary
from studio.actions.drafts import Draft
from studio.app_pages.create_facts import facts
from studio.app_pages.create_fields import text_field
from studio.app_pages.create_lore import lorebook
from studio.context import AppContext

# Field, height in pixels, example.
FIELDS = (
    ("persona", 180, "Their life, wishes, habits and fears, in a few sentences. “Ada keeps the lighthouse of …”"),
    ("appearance", 90, "Hair, eyes, build; not clothes or places."),
    ("scenario", 70, "“It is night in the library …” May stay empty."),
    ("greeting", 70, "Shown when a chat begins. May stay empty."),
)


def draw(context: AppContext, id: str, draft: Draft, checked: Summary) -> None:
    """The step as a whole: forms on the left, system prompt and suggestions on the right."""
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        text_field(context, id, draft, "name")
        for field, height_px, example in FIELDS:
            text_field(context, id, draft, field, example, height_px)
        facts(context, id, draft)
        lorebook(context, id, draft)
    with right:
        prompt_preview(draft)
        suggested(context, id, draft)
        if draft.get("name") or draft.get("persona"):  # an empty form shows no problems
            widgets.problems(create.problems_beside(draft, 2, checked))


def prompt_preview(draft: Draft) -> None:
    """The system prompt as the model reads it, and how much of its token budget it fills."""
    character, _ = drafts.character_of(draft)
    tokens = estimate_system_prompt(character)
    st.markdown("**What the model will be told**")
    fits = fits_system_prompt(tokens)
    words = budget_words(tokens)
    st.progress(min(1.0, tokens / SYSTEM_PROMPT_TOKENS), text=words[:1].upper() + words[1:])
    if not fits:
        st.warning("Too long: this is what is left when it is cut.", icon=":material/content_cut:")
    shown = system_text(character) if character.name or character.persona else "Nothing yet. Begin with the name."
    st.html(
        f'<div class="u-told" tabindex="0" role="region" aria-label="What the model will be told">'
        f"{html.escape(shown)}</div>"
    )
    widgets.quiet("How they speak comes from the next step. Facts are not in it: they are learned.")


def suggested(context: AppContext, id: str, draft: Draft) -> None:
    """What the persona's own sentences suggest."""
    found = suggestions.facts_in_persona(draft)
    misplaced = suggestions.misplaced_sentences(draft)
    if not found and not misplaced:
        return
    st.markdown("**Suggestions from your text**")
    for field, words in (("appearance", "looks"), ("style", "how they talk")):
        sentences = [one.sentence for one in misplaced if one.field == field]
        if sentences:
            with st.container(border=True, gap="xsmall"):
                widgets.quiet(f"This tells {words}: “{' '.join(sentences)}”")
                st.button(
                    f"Move it to {words}",
                    key=f"move-{field}",
                    icon=":material/move_down:",
                    on_click=widgets.act,
                    args=(suggestions.move_sentences, context, id, field),
                )
    for number, fact in enumerate(found):
        with st.container(border=True, gap="xsmall"):
            widgets.quiet(f"{fact.question}  {fact.answer}")
            st.button(
                "Add as a fact",
                key=f"fact-{number}",
                icon=":material/add:",
                on_click=widgets.act,
                args=(suggestions.take_fact, context, id, fact),
            )
