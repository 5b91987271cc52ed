"""Does the starter learn somebody from nine pictures? `python -m pipelines.starter_build.fewshot --out FOLDER`.

Held-out identities become characters as a user would make them: a name, the looks in words, nine captioned pictures.
Each is learned by the real `run_sft`; then it is asked for expressions, clothes and places that none of its pictures
combines, drawn the way chat draws them. The critic says whether it is still the same one (at its threshold) and
whether the picture shows what was asked; copying is measured as in a run's scorecard. The same prompts are also drawn
before training and read off real drawings. Steps and ranks are swept: `--steps 14,28,56 --rank 8,16`.
20 identities take about half an hour of a core for each setting of 28 steps. Whom FOLDER holds already is not learned
again, only drawn: so a broken call goes on, and another way of drawing can be tried.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, checkpoint_folder, checkpoint_name
from pipelines.evaluation.scorecard import training_image_similarity
from pipelines.inference.generate import CHAT_SAMPLING, caption_prompt
from pipelines.inference.generate import generate_images as draw_pictures
from pipelines.models.decoding.sampling import Sampling
from pipelines.rewards.starter_critic import ImageFeatures, StarterCritic
from pipelines.starter_build.build_config import build_config
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.drawings.attributes import FIRST, Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import made_up_name
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.measure import open_models
from pipelines.starter_build.measure_images import attributes_right, save_sheet, seen, to_images
from pipelines.training.sft import run_sft

PICTURES = 9
PICTURE_PX = 192
"""Size of the pictures a user brings."""
ROW_PICTURES = 5
"""Pictures of an optimiser step: what a row of a whole character, with its talk and facts, has room for."""


@dataclass(frozen=True)
class Someone:
    """A held-out identity with nine pictures to learn from and looks to ask for."""

    identity: Identity
    name: str
    learned: tuple[Attributes, ...]
    asked: tuple[Attributes, ...]

    def pictures(self, looks: tuple[Attributes, ...], px: int) -> np.ndarray:
        """Real drawings (N, px, px, 3) uint8."""
        return np.stack([np.asarray(render_image(self.identity, look, px)) for look in looks])

    def character(self, folder: Path) -> Character:
        """The character with its pictures in `folder`/images."""
        (folder / "images").mkdir(parents=True, exist_ok=True)
        images = []
        for place, look in enumerate(self.learned, start=1):
            file = f"{place:02d}.png"
            Image.fromarray(self.pictures((look,), PICTURE_PX)[0]).save(folder / "images" / file)
            images.append(CharacterImage(file, look.expression, look.clothes, look.place, look.full_pose))
        return Character(
            self.name,
            "Somebody new.",
            appearance=f"{self.name} is {self.identity.words}.",
            images=tuple(images),
            licence="CC0-1.0",
        )


def people(domain: Domain, count: int, prompts: int, seed: int = 0) -> list[Someone]:
    """`count` held-out identities, each with its nine looks and its share of `prompts` unseen ones."""
    rng = random.Random(f"few-shot {seed}")
    found = []
    for place in range(count):
        identity = domain.identity(20 * (400 + place))  # every twentieth is held out; others are measured elsewhere
        learned = tuple(replace(domain.look(rng, identity), extra="") for _ in range(PICTURES))
        each = max(1, prompts // count)
        asked = tuple(replace(domain.look(rng, identity, held_out=True), pose="", extra="") for _ in range(each))
        found.append(Someone(identity, made_up_name(rng), learned, asked))
    return found


def learn_and_draw(
    model: Any, tokenizer: Any, someone: Someone, recipe: Recipe, folder: Path, sampling: Sampling
) -> tuple[Any, torch.Tensor, torch.Tensor, float | None]:
    """(the model without its adapter, pictures before and after (N, 3, px, px), seconds of learning).

    Seconds are None for somebody whom `folder` has learned before.
    """
    character = someone.character(folder / CHARACTER_FOLDER)
    texts = [look.description for look in someone.asked]

    def drawn(by: Any) -> torch.Tensor:
        prompts = [caption_prompt(by, tokenizer, character, text) for text in texts]
        generator = torch.Generator(by.device).manual_seed(recipe.seed)
        return torch.cat(
            [
                draw_pictures(by, prompts[i : i + 10], sampling, generator=generator).float().cpu()
                for i in range(0, len(prompts), 10)
            ]
        )

    before = drawn(model.eval())
    learned = checkpoint_folder(folder, checkpoint_name("sft", recipe.sft_steps))
    known = learned if learned.is_dir() else None
    began = time.perf_counter()
    result = run_sft(model, tokenizer, character, recipe, folder, lambda event: None, resume_from=known)
    seconds = None if known else time.perf_counter() - began
    tuned = result.model.eval()
    after = drawn(tuned.get_base_model())  # the adapter's layers are inside it
    return tuned.unload(), before, after, seconds


@torch.no_grad()
def judged(
    critic: StarterCritic, pixels: torch.Tensor, someone: Someone, known: ImageFeatures, unseen: ImageFeatures
) -> dict[str, float]:
    """Identity kept, prompt followed and copying, of pictures (N, 3, px, px) of the looks asked for."""
    sight = seen(critic, pixels)
    cosine = (sight.identity @ known.identity.T).mean(1)  # (N,) over the nine
    right = attributes_right(critic, sight, [(someone.identity, look) for look in someone.asked])
    parts = {
        "expression": [float(bool(one)) for one in right["expression"]],
        # Nothing was asked for where None stands; a creature without clothes has nothing to get wrong.
        "clothes": [
            1.0 if kind is None else (bool(kind) + bool(colour)) / 2
            for kind, colour in zip(right["clothes_kind"], right["clothes_colour"], strict=True)
        ],
        "place": [float(bool(one)) for one in right["place"]],
    }
    followed = [sum(values) / 3 for values in zip(*parts.values(), strict=True)]
    return {
        "kept": (cosine >= critic.config.likeness_threshold).float().mean().item(),
        "likeness": critic.likeness(sight, known).mean().item(),
        "followed": sum(followed) / len(followed),
        "followed_whole": sum(share == 1 for share in followed) / len(followed),
        **{f"followed_{name}": sum(values) / len(values) for name, values in parts.items()},
        "caption_match": critic.match(sight, [look.description for look in someone.asked]).mean().item(),
        "copying": training_image_similarity(sight.whole(), unseen.whole(), known.whole()),
    }


def measure_setting(
    model: Any, tokenizer: Any, critic: StarterCritic, crowd: list[Someone], recipe: Recipe, out: Path
) -> tuple[Any, dict[str, float]]:
    """(the model, scores) of one setting: means over identities, `_before`, `_after` and `_real`."""
    found: dict[str, list[float]] = {}
    rows: list[np.ndarray] = []
    px = model.spec.image_px
    sampling = replace(CHAT_SAMPLING, guidance_scale=recipe.image_cfg_scale)
    for number, someone in enumerate(crowd):
        model, before, after, seconds = learn_and_draw(
            model, tokenizer, someone, recipe, out / f"{number:02d}", sampling
        )
        real = to_pixels(someone.pictures(someone.asked, px))
        known = seen(critic, to_pixels(someone.pictures(someone.learned, px)))
        unseen = seen(critic, real)
        for name, pixels in (("before", before), ("after", after), ("real", real)):
            for key, value in judged(critic, pixels, someone, known, unseen).items():
                found.setdefault(f"{key}_{name}", []).append(value)
        if seconds is not None:
            found.setdefault("seconds", []).append(seconds)
        rows += [to_images(real)[:8], to_images(after)[:8]]
        print(
            f"{someone.name} {someone.identity.words}: kept {found['kept_after'][-1]:.2f} "
            f"followed {found['followed_after'][-1]:.2f}",
            flush=True,
        )
    save_sheet(out / "sheet.png", np.concatenate(rows[0::2]), np.concatenate(rows[1::2]))
    return model, {name: round(sum(values) / len(values), 4) for name, values in found.items()}


def main(argv: list[str] | None = None) -> int:
    """Entry point; the last line is one JSON object, setting -> scores, also in `out`/fewshot.json."""
    options = _parser().parse_args(argv)
    plan = build_config(options.build or options.out)
    domain = plan.domain if options.build else FIRST
    model, tokenizer, critic = open_models(options.build or options.out, plan.sizes, options.device)
    crowd = people(domain, options.identities, options.prompts, options.seed)
    done: dict[str, dict[str, float]] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for steps in options.steps:
        for rank in options.rank:
            recipe = Recipe.for_effort(
                "starter",
                "quick",
                sft_steps=steps,
                sft_save_every=steps,
                lora_rank=rank,
                lora_alpha=2 * rank,
                sft_learning_rate=options.learning_rate,
                sft_row_max_images=ROW_PICTURES,
                seed=options.seed,
                image_cfg_scale=options.guidance,
            )
            name = f"steps {steps} rank {rank}"
            model, done[name] = measure_setting(
                model, tokenizer, critic, crowd, recipe, options.out / name.replace(" ", "-")
            )
            print(json.dumps({name: done[name]}), flush=True)
            (options.out / "fewshot.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(done))
    return 0


def _parser() -> argparse.ArgumentParser:
    def numbers(words: str) -> list[int]:
        return [int(word) for word in words.split(",")]

    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.fewshot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, fewshot.json and sheets")
    parser.add_argument("--build", type=Path, help="a build folder to measure (default: this installation's weights)")
    parser.add_argument("--identities", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=200, help="unseen looks in all")
    parser.add_argument("--steps", type=numbers, default=[28], help="SFT steps, several with commas")
    parser.add_argument("--rank", type=numbers, default=[16], help="LoRA ranks, several with commas")
    parser.add_argument("--learning-rate", type=float, default=Recipe().sft_learning_rate)
    parser.add_argument("--guidance", type=float, default=Recipe().image_cfg_scale)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
