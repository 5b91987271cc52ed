"""The part `replies`: what the three trained characters answer, with words and whether with a picture.

Half of the prompts ask for a picture. Replies are sampled as the studio's chat samples them; only their pictures are
left out, since whether there is one is settled before. Every reply stands verbatim in OUT/replies.jsonl, and in
OUT/replies.md for reading. The same detectors read what the author wrote for the characters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipelines.core.character.character import Interaction, TestSplit
from pipelines.core.character.character_folder import read_test_split
from pipelines.core.reply_faults import FAULTS, faults_of
from pipelines.core.run_folder import CHARACTER_FOLDER
from pipelines.data.chat_template import user
from pipelines.inference.generate import REPETITION_PENALTY, GenerationRequest, generate_texts, sampling_of
from pipelines.starter_build.bench.bench_context import BenchContext
from pipelines.starter_build.bench.readings import PartResult, Score, share
from pipelines.starter_build.bench.reply_prompts import ReplyPrompt, reply_prompts
from pipelines.starter_build.bench.trained_runs import (
    bench_recipe,
    run_character,
    run_settings,
    shortened_note,
    trained_engine,
    trained_run,
)

PART = "replies"
AT_ONCE = 10
PICTURE_GOAL, UNASKED_GOAL = 0.95, 0.1
GOALS = {"without words": 0.0}
"""Fault -> share that it may have; the others are counted."""
READABLE = "replies.md"


def run_replies(context: BenchContext) -> PartResult:
    """Train, ask and count; goes on where an earlier call stopped."""
    counts = context.counts
    settings = {**run_settings(context, counts.characters), "repetition_penalty": REPETITION_PENALTY}
    log = context.log(PART, (), settings)
    written: list[list[str]] = []
    for slug in counts.characters:
        run = trained_run(context, slug)
        written += [faults_of(text) for text in authored_replies(run)]
        prompts = reply_prompts(counts.replies, slug)
        cases = [(slug, number) for number in range(len(prompts))]
        for batch in context.todo(log, cases, _case, AT_ONCE):
            numbers = [number for _, number in batch]
            for number, record in zip(numbers, _ask(context, run, prompts, numbers), strict=True):
                log.add(_case((slug, number)), **record)
    records = [log.records[_case((slug, n))] for slug in counts.characters for n in range(counts.replies)]
    (context.out / READABLE).write_text(readable(records), encoding="utf-8")
    notes = (*shortened_note(context), f"every reply stands in {READABLE}")
    return PartResult(PART, len(records), reply_scores(records, written), (), notes, settings)


def _ask(context: BenchContext, run: Path, prompts: list[ReplyPrompt], numbers: list[int]) -> list[dict[str, Any]]:
    """Sample the replies to some of the prompts in one batch; reply n has seed n."""
    character = run_character(run)
    engine, name = trained_engine(context, run)
    talks = [talk for talk in (read_test_split(run / CHARACTER_FOLDER) or TestSplit()).dialogues if len(talk) > 1]
    histories: list[Interaction] = []
    for number in numbers:
        before = talks[number % len(talks)][:2] if prompts[number].after_talk and talks else ()
        histories.append((*before, user(prompts[number].text)))
    requests = [
        GenerationRequest(character, history, seed=number) for number, history in zip(numbers, histories, strict=True)
    ]
    sampling = sampling_of(bench_recipe(context), REPETITION_PENALTY)
    with engine.using(name) as model:
        generators = [torch.Generator(model.device).manual_seed(number) for number in numbers]
        texts = generate_texts(model, engine.tokenizer, requests, sampling, generator=generators)
    return [
        {
            "character": character.name,
            "prompt": prompts[number].text,
            "before": [turn.text for turn in history[:-1]],
            "asked": prompts[number].wants_picture,
            "text": item.text,
            "scene": item.scene,
            "picture": item.image_prompt is not None,
            "faults": faults_of(item.text),
        }
        for number, history, item in zip(numbers, histories, texts, strict=True)
    ]


def authored_replies(run: Path) -> list[str]:
    """What the author wrote for a character, learned and held out."""
    split = read_test_split(run / CHARACTER_FOLDER) or TestSplit()
    talks = (*run_character(run).interactions, *split.dialogues)
    return [turn.text for talk in talks for turn in talk if turn.role == "character"]


def reply_scores(records: list[dict[str, Any]], written: list[list[str]]) -> dict[str, Score]:
    """Shares over replies. written: the faults of each authored reply."""
    scores = {
        name: share(
            [[name in record["faults"]] for record in records],
            [[name in faults] for faults in written],
            GOALS.get(name),
            at_most=True,
        )
        for name in FAULTS
    }
    for name, asked, goal in (("picture when asked", True, PICTURE_GOAL), ("picture unasked", False, UNASKED_GOAL)):
        drawn = [[record["picture"]] for record in records if record["asked"] is asked]
        if drawn:
            scores[name] = share(drawn, None, goal, at_most=not asked)
    return scores


def readable(records: list[dict[str, Any]]) -> str:
    """All exchanges as Markdown, unedited."""
    parts = []
    for record in records:
        before = "".join(f"> {line}\n>\n" for line in record["before"])
        picture = f"\n\n*picture: {record['scene']}*" if record["picture"] else ""
        faults = f"\n\n({', '.join(record['faults'])})" if record["faults"] else ""
        parts.append(
            f"### {record['case']}\n\n{before}**{record['prompt']}**\n\n"
            f"{record['character']}: {record['text']}{picture}{faults}\n"
        )
    return "\n".join(parts)


def _case(case: tuple[str, int]) -> str:
    return f"{case[0]}-{case[1]:03d}"
