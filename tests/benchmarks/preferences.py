"""Do votes change how a character talks? Simulated votes by one rule, and stage 2 with and without them.

    python -m tests.benchmarks.preferences RUN [--votes 40] [--questions 30] [--seeds 3] [--out FILE] [--set JSON]

RUN is a trained run; everything starts from its last checkpoint of stage 1. For each seed that checkpoint answers
`votes` questions twice and the shorter answer is voted for; then stage 2 runs twice with equal seeds, without and with
these votes, and both answer `questions` others. A pair of equal length is no vote. `--set` changes the recipe.

Each seed is a line of FILE (words of every answer, by question), and a second call goes on after them. The last line on
standard output is one JSON object: median words without and with votes, and the paired difference of the means with
its interval (cases are questions); exit status 1 when the interval reaches 0.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from peft import PeftModel
from transformers import set_seed

from pipelines.core.character.character import Character, Preference, message
from pipelines.core.character.character_folder import read_character
from pipelines.core.intervals import bootstrap
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, adapters, checkpoint_folder, read_json
from pipelines.core.words import count_words
from pipelines.data.chat_template import user
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.generate import GenerationRequest, sampling_of
from pipelines.inference.streaming import ReplyDone
from pipelines.models.presets import load
from pipelines.rewards.judge import load_judge
from pipelines.training.grpo import make_trainer, run_grpo

SUBJECTS = (
    "the rain", "breakfast", "your oldest friend", "the sea", "money", "music", "a secret", "the winter", "your work",
    "dogs", "ghosts", "the night", "a journey", "your hands", "a song", "the market", "a letter", "your home", "bread",
    "the stars", "trees", "a bad dream", "the city", "tea", "a storm", "your boots", "birds", "a holiday", "the moon",
    "a lie", "the king", "fire", "old books", "a game", "the road",
)  # fmt: skip
FORMS = ("What do you think of {}?", "Tell me about {}.")
Reply = tuple[str, str]
"""Question, answer."""


def questions(count: int, first: int) -> list[str]:
    """`count` different questions, from number `first` on."""
    every = [form.format(subject) for form in FORMS for subject in SUBJECTS]
    if first + count > len(every):
        raise SystemExit(f"there are {len(every)} questions, and {first + count} are asked for")
    return every[first : first + count]


def answers(checkpoint: Path, character: Character, recipe: Recipe, asked: list[str], seed: int) -> list[str]:
    """The words of a checkpoint's answers, without pictures."""
    engine = InferenceEngine(recipe.base)
    engine.add("it", checkpoint)
    requests = [
        GenerationRequest(character, (user(question),), "it", seed * 10_007 + number, "never")
        for number, question in enumerate(asked)
    ]
    said = [""] * len(requests)
    for part in engine.replies(requests, sampling=sampling_of(recipe)):
        if isinstance(part, ReplyDone):
            said[part.side] = part.reply.text
    return said


def votes(asked: list[str], one: list[str], other: list[str]) -> tuple[Preference, ...]:
    """The shorter of two answers is liked better."""
    found = []
    for question, *both in zip(asked, one, other, strict=True):
        short, long = sorted(both, key=count_words)
        if count_words(short) < count_words(long):
            found.append(Preference(question, message("character", short), message("character", long)))
    return tuple(found)


def practised(run: Path, character: Character, recipe: Recipe, folder: Path) -> Path:
    """Stage 2 from the run's last checkpoint of stage 1, in a folder of its own; returns its last checkpoint."""
    shutil.copytree(run / CHARACTER_FOLDER, folder / CHARACTER_FOLDER)
    set_seed(recipe.seed)
    model, tokenizer = load(recipe.base)
    start = checkpoint_folder(run, adapters(run, "sft")[-1])
    student = PeftModel.from_pretrained(model, str(start), is_trainable=True)
    judge = load_judge(recipe.base, recipe.effort)
    made = run_grpo(make_trainer(student, tokenizer, character, recipe, folder, judge, lambda event: None))
    return checkpoint_folder(folder, made.checkpoints[-1])


def one_seed(run: Path, recipe: Recipe, seed: int, vote_count: int, question_count: int) -> dict[str, Any]:
    """Words of all answers without and with votes, by question."""
    character, recipe = read_character(run / CHARACTER_FOLDER), replace(recipe, seed=seed)
    start = checkpoint_folder(run, adapters(run, "sft")[-1])
    asked, others = questions(vote_count, 0), questions(question_count, vote_count)
    first, second = (answers(start, character, recipe, asked, 2 * seed + n) for n in (0, 1))
    given = votes(asked, first, second)
    line: dict[str, Any] = {"seed": seed, "votes": len(given)}
    with tempfile.TemporaryDirectory() as scratch:
        for name, preferences in (("without", ()), ("with", given)):
            told = replace(character, preferences=preferences)
            checkpoint = practised(run, told, recipe, Path(scratch) / name)
            said = answers(checkpoint, character, recipe, others, seed)
            line[name] = [count_words(text) for text in said]
            line[f"{name}_said"] = said[:8]
    return line


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, and the paired difference with its interval over questions."""
    pairs = list(zip(*(list(zip(line["without"], line["with"], strict=True)) for line in lines), strict=True))
    gains = [[float(after - before) for before, after in case] for case in pairs]
    every = [gain for case in gains for gain in case]
    low, high = bootstrap(gains)
    return {
        "seeds": len(lines),
        "votes": [line["votes"] for line in lines],
        "median_words_without": median(words for line in lines for words in line["without"]),
        "median_words_with": median(words for line in lines for words in line["with"]),
        "difference": round(sum(every) / len(every), 3),
        "interval": [round(low, 3), round(high, 3)],
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--votes", type=int, default=40)
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", default="{}", help="changes of the recipe, as JSON")
    given = parser.parse_args()
    recipe = Recipe.from_json(read_json(given.run / "run.json")["recipe"]).with_changes(json.loads(given.set))
    if not recipe.preference_weight:
        parser.error("the recipe has preference_weight 0, so votes teach nothing")
    lines = []
    if given.out and given.out.exists():
        lines = [json.loads(line) for line in given.out.read_text(encoding="utf-8").splitlines()]
    for seed in range(len(lines), given.seeds):
        lines.append(one_seed(given.run, recipe, seed, given.votes, given.questions))
        if given.out:
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
    told = summary(lines)
    print(json.dumps(told))
    sys.exit(int(told["interval"][1] >= 0))


if __name__ == "__main__":
    main()
