"""Does the starter learn a character from ten images? `python -m pipelines.starter_build.fewshot --out FOLDER`.

Held-out identities become characters as a user would make them: a name, the appearance in words, ten captioned
images. Each is trained by the real `run_sft`; then images are generated, as chat does, from two of the ten as
references and for combinations of expression, clothes and place that are not in the training images. The critic says
whether the identity is kept (at its threshold) and whether the prompt is followed; copying is measured as in a run's
scorecard. The same prompts are also generated before training, and rendered. Steps and ranks are swept:
`--steps 14,28,56 --rank 8,16`.
20 identities take about half an hour of a core for each setting of 28 steps. An identity whose run is in FOLDER already
is not trained again: so an interrupted call can be resumed, and another sampling setting be tried.
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
from pipelines.data.packing import encode_images
from pipelines.evaluation.image_scores import training_image_similarity
from pipelines.inference.generate import CHAT_SAMPLING
from pipelines.inference.generate_images import caption_prompt, generate_images
from pipelines.models.decoding.sampling import Sampling
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_config import build_config
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.drawings.attributes import FIRST, Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import made_up_name
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.load_build import load_models
from pipelines.starter_build.measure_images import attribute_matches, image_features, save_sheet, to_uint8
from pipelines.training.sft import run_sft

TRAIN_IMAGES = 10
UPLOAD_PX = 512
"""Side of the images that a user uploads."""
ROW_IMAGES = 5
"""Images per optimiser step: what a row of a whole character, with its dialogues and facts, has room for."""


@dataclass(frozen=True)
class FewShotCase:
    """A held-out identity with the attributes of its training images and of the images to generate."""

    identity: Identity
    name: str
    train_attributes: tuple[Attributes, ...]
    test_attributes: tuple[Attributes, ...]

    def render(self, attributes: tuple[Attributes, ...], px: int) -> np.ndarray:
        """(N, px, px, 3) uint8."""
        return np.stack([np.asarray(render_image(self.identity, one, px)) for one in attributes])

    def character(self, folder: Path) -> Character:
        """The character; its images are written to `folder`/images."""
        (folder / "images").mkdir(parents=True, exist_ok=True)
        images = []
        for number, one in enumerate(self.train_attributes, start=1):
            file = f"{number:02d}.png"
            Image.fromarray(self.render((one,), UPLOAD_PX)[0]).save(folder / "images" / file)
            images.append(CharacterImage(file, one.expression, one.clothes, one.place, one.full_pose))
        return Character(
            self.name,
            "Somebody new.",
            appearance=f"{self.name} is {self.identity.words}.",
            images=tuple(images),
            licence="CC0-1.0",
        )


def sample_cases(domain: Domain, count: int, prompts: int, seed: int = 0) -> list[FewShotCase]:
    """`count` held-out identities, each with its training images and its share of `prompts` unseen combinations."""
    cases = []
    for number in range(count):
        rng = random.Random(f"few-shot {seed} {number}")
        identity = domain.identity(20 * (400 + number))  # every twentieth number is held out
        train = tuple(replace(domain.sample_attributes(rng, identity), extra="") for _ in range(TRAIN_IMAGES))
        test = tuple(
            replace(domain.sample_attributes(rng, identity, held_out=True), pose="", extra="")
            for _ in range(max(1, prompts // count))
        )
        cases.append(FewShotCase(identity, made_up_name(rng), train, test))
    return cases


def learn_case(
    model: Any, tokenizer: Any, character: Character, recipe: Recipe, folder: Path
) -> tuple[Any, float | None]:
    """(the model with its adapter, seconds of training); None seconds for a run that is in `folder` already."""
    # `run_sft` resumes from a checkpoint of its last step without training, which only loads the adapter.
    checkpoint = checkpoint_folder(folder, checkpoint_name("sft", recipe.sft_steps))
    resume_from = checkpoint if checkpoint.is_dir() else None
    began = time.perf_counter()
    result = run_sft(model, tokenizer, character, recipe, folder, lambda event: None, resume_from=resume_from)
    return result.model.eval(), None if resume_from else time.perf_counter() - began


def generate_case(
    model: Any,
    tokenizer: Any,
    case: FewShotCase,
    character: Character,
    references: torch.Tensor | None,
    sampling: Sampling,
    seed: int,
) -> torch.Tensor:
    """(N, 3, px, px) on the CPU: one image for each of the case's test attributes, as chat draws it.

    references: (1, R, C) codes of the images that are looked at, None for none.
    """
    prompts = [caption_prompt(model, tokenizer, character, one.description) for one in case.test_attributes]
    generator = torch.Generator(model.device).manual_seed(seed)
    parts = []
    for start in range(0, len(prompts), 10):
        batch = prompts[start : start + 10]
        codes = None if references is None else references.expand(len(batch), -1, -1)
        drawn = generate_images(model, batch, sampling, reference_codes=codes, generator=generator)
        parts.append(drawn.float().cpu())
    return torch.cat(parts)


def train_and_generate(
    model: Any, tokenizer: Any, case: FewShotCase, recipe: Recipe, folder: Path, sampling: Sampling
) -> tuple[Any, torch.Tensor, torch.Tensor, float | None]:
    """(the model without its adapter, images before and after training (N, 3, px, px), seconds of training).

    Seconds are None for a case whose run is in `folder` already.
    """
    character = case.character(folder / CHARACTER_FOLDER)
    references = encode_images(model, character, folder / CHARACTER_FOLDER).own_reference_codes()
    drawn_as = (case, character, references, sampling, recipe.seed)
    before = generate_case(model.eval(), tokenizer, *drawn_as)
    tuned, seconds = learn_case(model, tokenizer, character, recipe, folder)
    after = generate_case(tuned.get_base_model(), tokenizer, *drawn_as)  # the adapter's layers are inside it
    return tuned.unload(), before, after, seconds


@torch.no_grad()
def case_scores(
    critic: StarterCritic, pixels: torch.Tensor, case: FewShotCase, train: ImageFeatures, test: ImageFeatures
) -> dict[str, float]:
    """Identity kept, prompt followed and copying, of images (N, 3, px, px) of the case's test attributes.

    train, test: features of the rendered training and test images.
    """
    features = image_features(critic, pixels)
    cosine = (features.identity @ train.identity.T).mean(1)  # (N,) over the training images
    matches = attribute_matches(critic, features, [(case.identity, one) for one in case.test_attributes])
    parts = {
        "expression": [float(bool(one)) for one in matches["expression"]],
        # None where nothing was requested: a creature without clothes has nothing to get wrong.
        "clothes": [
            1.0 if kind is None else (bool(kind) + bool(colour)) / 2
            for kind, colour in zip(matches["clothes_kind"], matches["clothes_colour"], strict=True)
        ],
        "place": [float(bool(one)) for one in matches["place"]],
    }
    followed = [sum(values) / 3 for values in zip(*parts.values(), strict=True)]  # of each image
    return {
        "kept": (cosine >= critic.config.likeness_threshold).float().mean().item(),
        "likeness": critic.likeness(features, train).mean().item(),
        "followed": sum(followed) / len(followed),
        "followed_whole": sum(share == 1 for share in followed) / len(followed),
        **{f"followed_{name}": sum(values) / len(values) for name, values in parts.items()},
        "caption_match": critic.match(features, [one.description for one in case.test_attributes]).mean().item(),
        "copying": training_image_similarity(features.embedding(), test.embedding(), train.embedding()),
    }


def measure_setting(
    model: Any, tokenizer: Any, critic: StarterCritic, cases: list[FewShotCase], recipe: Recipe, out: Path
) -> tuple[Any, dict[str, float]]:
    """(the model, scores) of one setting: means over the cases, `_before`, `_after` and `_real`."""
    found: dict[str, list[float]] = {}
    rows: list[np.ndarray] = []
    px = model.spec.image_px
    sampling = replace(CHAT_SAMPLING, guidance_scale=recipe.image_cfg_scale)
    for number, case in enumerate(cases):
        folder = out / f"{number:02d}"
        model, before, after, seconds = train_and_generate(model, tokenizer, case, recipe, folder, sampling)
        rendered = to_pixels(case.render(case.test_attributes, px))
        train = image_features(critic, to_pixels(case.render(case.train_attributes, px)))
        test = image_features(critic, rendered)
        for name, pixels in (("before", before), ("after", after), ("real", rendered)):
            for key, value in case_scores(critic, pixels, case, train, test).items():
                found.setdefault(f"{key}_{name}", []).append(value)
        if seconds is not None:
            found.setdefault("seconds", []).append(seconds)
        rows += [to_uint8(rendered)[:8], to_uint8(after)[:8]]  # a pair of rows of the sheet
        kept, followed = found["kept_after"][-1], found["followed_after"][-1]
        print(f"{case.name} {case.identity.words}: kept {kept:.2f} followed {followed:.2f}", flush=True)
    save_sheet(out / "sheet.png", np.concatenate(rows[0::2]), np.concatenate(rows[1::2]))
    return model, {name: round(sum(values) / len(values), 4) for name, values in found.items()}


def main(argv: list[str] | None = None) -> int:
    """Entry point; the last line is one JSON object, setting -> scores, also in `out`/fewshot.json."""
    options = _parser().parse_args(argv)
    folder = options.build or options.out
    config = build_config(folder)
    domain = config.domain if options.build else FIRST
    model, tokenizer, critic = load_models(folder, config.build_size, options.device)
    cases = sample_cases(domain, options.identities, options.prompts, options.seed)
    done: dict[str, dict[str, float]] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for steps in options.steps:
        for rank in options.rank:
            # Only the last step is saved; alpha grows with the rank, so that the scale of the adapter stays.
            recipe = Recipe.for_effort(
                "starter",
                "quick",
                sft_steps=steps,
                sft_save_every=steps,
                lora_rank=rank,
                lora_alpha=2 * rank,
                sft_learning_rate=options.learning_rate,
                sft_row_max_images=ROW_IMAGES,
                seed=options.seed,
                image_cfg_scale=options.guidance,
            )
            name = f"steps {steps} rank {rank}"
            model, done[name] = measure_setting(
                model, tokenizer, critic, cases, recipe, options.out / name.replace(" ", "-")
            )
            print(json.dumps({name: done[name]}), flush=True)
            (options.out / "fewshot.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(done))
    return 0


def _parser() -> argparse.ArgumentParser:
    def integers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.fewshot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, fewshot.json and sheets")
    parser.add_argument("--build", type=Path, help="a build folder to measure (default: this installation's weights)")
    parser.add_argument("--identities", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=200, help="images generated, in all")
    parser.add_argument("--steps", type=integers, default=[28], help="SFT steps, several with commas")
    parser.add_argument("--rank", type=integers, default=[16], help="LoRA ranks, several with commas")
    parser.add_argument("--learning-rate", type=float, default=Recipe().sft_learning_rate)
    parser.add_argument("--guidance", type=float, default=Recipe().image_cfg_scale)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
