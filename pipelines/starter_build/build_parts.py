"""Run one part of the build: its data, its training, its scores. `build.py` is the command line.

Nothing of torch is imported before a part is trained, because the processes that render import this file too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.settings import cache_dir
from pipelines.starter_build.broad_domain import BroadDomain
from pipelines.starter_build.build_config import BuildConfig, BuildSize
from pipelines.starter_build.drawings.symbols import prepare_symbols
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY, render_images

if TYPE_CHECKING:  # --help and the processes that render import this file, and need no torch
    from pipelines.starter_build.build_loop import Budget
    from pipelines.starter_build.dataset import DrawnDataset
    from pipelines.starter_build.streaming_dataset import BroadStream

TRAINED = ("critic", "tokenizer", "classifier", "identity", "eyes", "picture")
"""In this order: the tokenizer's perceptual loss needs the critic, the image expert the tokenizer."""
SMALL_SIGHTED = ("critic", "classifier", "identity")
"""Parts that see images at 96 px or less, however large they are: drawn at `SMALL_PX`."""
SMALL_PX = 128
ART_SHARE = 1 / 7
"""Of the image tokenizer's pictures: random flat art."""


@dataclass(frozen=True)
class Options:
    """What every part is run with."""

    out: Path
    config: BuildConfig
    device: str
    seed: int
    count: int
    processes: int
    stop_after: float
    decoder_only: bool
    perceptual: float | None
    """Weight of the perceptual loss instead of the size's."""
    quick: bool
    learning_rate: float | None
    """Peak learning rate instead of the size's."""
    batch: int | None = None
    """Images per step instead of the size's."""
    window: int | None = None
    """Images that a stream keeps instead of the size's."""

    def size_for(self, part: str) -> BuildSize:
        """The folder's size with what the options say of this part."""
        size = self.config.build_size
        batches, rates = dict(size.batch_sizes), dict(size.learning_rates)
        if self.batch is not None:
            grouped = {"critic": ("identities", "images_per_identity"), "identity": ("subjects", "images_per_subject")}
            name, each = grouped.get(part, (part, ""))
            batches[name] = max(2, self.batch // batches[each]) if each else self.batch
        if self.learning_rate is not None:
            rates[part] = self.learning_rate
        return replace(
            size,
            batch_sizes=batches,
            learning_rates=rates,
            stream_window=size.stream_window if self.window is None else self.window,
            perceptual=size.perceptual if self.perceptual is None else self.perceptual,
        )

    def state_file(self, part: str) -> Path:
        """Where a part keeps its state."""
        return self.out / part / (f"{part}.pt" if part in ("eyes", "picture") else "state.pt")


def broad_domain(options: Options, art: float = 0.0) -> BroadDomain:
    """What tokenizer, image expert and identity encoder learn from; fetches the symbols' packages when it has any."""
    config = options.config
    if not config.is_broad:
        return BroadDomain(config.domain, turned_figures=0.0, art=art)
    return BroadDomain(config.domain, prepare_symbols(cache_dir()), art=art)


@contextmanager
def training_set(part: str, options: Options) -> Iterator[DrawnDataset | BroadStream]:
    """The stored set, or a stream from the position where the part's last call stopped."""
    from pipelines.starter_build.build_loop import STREAM_POSITION, read_state
    from pipelines.starter_build.dataset import DrawnDataset
    from pipelines.starter_build.streaming_dataset import BroadStream, StreamingDataset

    config, size = options.config, options.size_for(part)
    if not config.stream and part != "identity":
        yield DrawnDataset.load(options.out / "pictures", "train")
        return
    first = read_state(options.state_file(part)).get("more", {}).get(STREAM_POSITION, 0)
    px = min(size.px, SMALL_PX) if part in SMALL_SIGHTED else size.px
    window = (px, options.seed, size.stream_window, first, options.processes)
    stream: StreamingDataset | BroadStream
    if part in ("tokenizer", "identity"):
        stream = BroadStream(broad_domain(options, ART_SHARE if part == "tokenizer" else 0.0), *window)
    else:
        stream = StreamingDataset(config.domain, *window)
    try:
        yield stream
    finally:
        stream.close()


def run_part(part: str, seconds: float, options: Options) -> dict[str, Any]:
    """Run one part; returns its scores."""
    # Imported where needed: rendering needs packages that training does not, and --help needs neither.
    out, config, size = options.out, options.config, options.config.build_size
    if part in TRAINED:
        from pipelines.starter_build.build_loop import Budget

        return train_part(part, Budget(seconds, options.stop_after), options)
    if part == "pictures":
        settings = (options.seed, size.px)
        held_out = max(20, options.count // 20)
        counts = render_images(
            out / "pictures" / "held_out", held_out, *settings, True, options.processes, config.domain
        )
        if config.stream:
            return counts
        return render_images(out / "pictures", options.count, *settings, False, options.processes, config.domain)
    if part == "sheets":
        from pipelines.starter_build.contact_sheet import broad_sheet, style_sheets

        files = style_sheets(out / "sheets", config.domain, options.seed)
        return files | {
            "broad": str(broad_sheet(out / "sheets" / "broad.png", broad_domain(options, ART_SHARE), options.seed))
        }
    if part == "measure":
        from pipelines.starter_build.measure import measure_all

        return measure_all(out, size, options.device, options.quick)
    from pipelines.starter_build.export import export_weights

    return export_weights(out, size, "two CPU cores, no GPU" if options.device == "cpu" else "a GPU")


def train_part(part: str, budget: Budget, options: Options) -> dict[str, float]:
    """Train one of `TRAINED`."""
    from pipelines.starter_build.build_loop import read_state
    from pipelines.starter_build.dataset import DrawnDataset

    size = options.size_for(part)
    # Another shuffle for each call: with the same one, a resumed part would train on the first rows again and again.
    seed = options.seed + read_state(options.state_file(part)).get("step", 0)
    if part == "picture":  # keeps codes instead of pixels, so it has a stream of its own
        from pipelines.starter_build.build_image_expert import train_image_expert
        from pipelines.starter_build.load_build import assemble_starter

        model, tokenizer = assemble_starter(options.out, options.device, size)
        out = options.out / part
        return train_image_expert(
            model, tokenizer, broad_domain(options), out, budget, size, options.seed, options.processes
        )
    check_window(part, size, options.config.stream)
    held_out = DrawnDataset.load(options.out / "pictures", "held_out")
    with training_set(part, options) as train_set:
        scores = _train_on(train_set, part, held_out, budget, size, seed, options)
        return scores | ({"drawn": IMAGES_PER_IDENTITY * train_set.position} if options.config.stream else {})


def check_window(part: str, size: BuildSize, streams: bool) -> None:
    """Raise ValueError, before anything is drawn, when a stream's window is too small for the batches of a part."""
    batch = {"critic": "identities", "identity": "subjects"}.get(part)
    wanted = size.batch_sizes[batch] if batch else 0
    held = size.stream_window // IMAGES_PER_IDENTITY
    if (streams or part == "identity") and held < wanted:
        raise ValueError(f"{part}: a batch shows {wanted} identities, a window of {size.stream_window} images {held}")


def _train_on(
    train_set: Any,
    part: str,
    held_out: DrawnDataset,
    budget: Budget,
    size: BuildSize,
    seed: int,
    options: Options,
) -> dict[str, float]:
    """Train one of the parts that learn from pixels; `train_set` is what `training_set` gives for it."""
    out, device = options.out / part, options.device
    if part == "tokenizer":
        from pipelines.starter_build.build_vq import train_tokenizer
        from pipelines.starter_build.load_build import load_build_critic

        critic = load_build_critic(options.out).to(device) if size.perceptual else None
        return train_tokenizer(train_set, held_out, out, budget, size, seed, device, options.decoder_only, critic)
    if part == "critic":
        from pipelines.models.starter.loading import language_words
        from pipelines.starter_build.build_critic import train_critic

        return train_critic(train_set, held_out, out, language_words(), budget, size, seed, device)
    if part == "classifier":
        from pipelines.starter_build.build_classifier import train_classifier

        return train_classifier(train_set, held_out, out, budget, size, seed, device)
    if part == "identity":
        from pipelines.starter_build.build_identity_encoder import train_identity_encoder

        return train_identity_encoder(train_set, broad_domain(options), out, budget, size, seed, device)
    from pipelines.starter_build.build_vision_tower import train_vision_tower
    from pipelines.starter_build.load_build import assemble_starter

    model, tokenizer = assemble_starter(options.out, device, size)
    return train_vision_tower(model, tokenizer, train_set, held_out, out, budget, size, seed)
