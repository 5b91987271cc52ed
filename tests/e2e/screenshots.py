"""Pictures of every page, for docs/studio.md and the README: `python -m tests.e2e.screenshots [RUN ...]`.

Starts the studio alone on a home of its own, puts characters, trainings and talks into it (`staging.py`), and takes
the pictures with the system's Chromium. RUN are run folders of `understudy train` on bundled characters, whose real
pictures are shown then. `--draw` has the starter draw what the wizard shows; without it no model is loaded.
`--look FOLDER` takes every page at 1280 and 390 pixels, light and dark.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from pipelines.core.formats.card_files import put_chunks
from pipelines.core.run_folder import read_json
from pipelines.core.settings import Settings
from studio.actions import characters, create
from studio.context import AppContext, open_context
from tests.core.formats.card_samples import foreign
from tests.e2e import staging
from tests.services import find_program, free_ports

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
MOST_BYTES = 200_000
COLOURS = (128, 96, 64, 48, 32)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZES = {"wide": (1280, 860), "phone": (390, 844)}


@dataclass(frozen=True)
class Shot:
    """One page."""

    name: str
    path: str
    before: Callable[[Page], None] | None = None
    """What is pressed before the picture is taken."""


@contextmanager
def studio(home: Path) -> Iterator[str]:
    """The studio alone, without workers."""
    port = free_ports(1)[0]
    own = {"UNDERSTUDY_HOME": str(home), "UNDERSTUDY_STUDIO_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.cli", "up", "--only", "studio"]
    process = subprocess.Popen(command, env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def stage(context: AppContext, runs: list[Path], draw: bool) -> list[Shot]:
    """Fill the records; returns what is to be seen. draw: with drawings by the starter."""
    staging.workers(context)
    ids = {slug: characters.try_bundled(context, slug) for slug in reversed(staging.BUNDLED)}
    own = staging.own_pictures(context)
    surplus = staging.too_many_pictures(context)
    if draw:
        staging.drawn(context, ids["quibb"])
    names = {"Quibb": "quibb", "Nella Tarn": "nella-tarn", "Ambrose Fell": "ambrose-fell"}
    by_slug = {names[read_json(run / "run.json")["character"]["name"]]: run for run in runs}
    done = staging.trained(context, ids["quibb"], by_slug.get("quibb"))
    if "ambrose-fell" in by_slug:
        staging.trained(context, ids["ambrose-fell"], by_slug["ambrose-fell"])
    running = staging.half_way(context, ids["nella-tarn"], by_slug.get("quibb"), 0.94)
    waiting = create.start(context, ids["ambrose-fell"], "quick", "starter")
    talk, blind = staging.talked(context, done), staging.talked(context, done, True)
    staging.voted(context, talk)
    alone = staging.chatted(context, done)
    staging.workers(context, running.id)
    quibb, nella = ids["quibb"], ids["nella-tarn"]
    return [
        Shot("characters", ""),
        Shot("character", f"?character={quibb}"),
        Shot("look-over", "", _look_over),
        Shot("create", "create"),
        Shot("step-1-pictures", f"create?character={own}&step=1"),
        Shot("step-1-drawings", f"create?character={quibb}&step=1"),
        Shot("step-1-ticks", f"create?character={surplus}&step=1"),
        Shot("step-1-crop", f"create?character={own}&step=1", _crop),
        Shot("step-2-who", f"create?character={nella}&step=2"),
        Shot("step-3-talk", f"create?character={nella}&step=3&talk=2"),
        Shot("step-3-empty", f"create?character={own}&step=3"),
        Shot("step-4-train", f"create?character={nella}&step=4"),
        Shot("step-4-to-mend", f"create?character={own}&step=4"),
        Shot("trainings", "training"),
        Shot("training-running", f"training?job={running.id}"),
        Shot("training-waiting", f"training?job={waiting.id}"),
        Shot("training-done", f"training?job={done.id}"),
        Shot("chat-begin", f"chat?character={quibb}"),
        Shot("chat", f"chat?conversation={alone.id}"),
        Shot("compare-begin", f"compare?character={quibb}"),
        Shot("compare-talk", f"compare?conversation={talk.id}"),
        Shot("compare-blind", f"compare?conversation={blind.id}"),
        Shot("compare-pictures", f"compare?character={quibb}&view=Pictures"),
        Shot("compare-scores", f"compare?character={quibb}&view=Scorecards"),
        Shot("compare-votes", f"compare?character={quibb}&view=Votes"),
        Shot("download", f"compare?character={quibb}&view=Download"),
        Shot("system", "system"),
    ]


def _crop(page: Page) -> None:
    page.get_by_role("button", name="Crop to a square").first.click()
    page.get_by_role("dialog").wait_for()


def _look_over(page: Page) -> None:
    """A card of another program, with somebody else in its examples."""
    talk = "<START>\n{{user}}: Is it far?\n{{char}}: Two hours.\nBen: She exaggerates.\nBen: Always."
    card = foreign(
        name="Vilde Moen", nickname="Vilde", description="{{char}} keeps the tea house at the pass.", mes_example=talk
    )
    face = (ROOT / "pipelines" / "core" / "bundled" / "nella-tarn" / "images" / "01.png").read_bytes()
    chunk = {"ccv3": base64.b64encode(json.dumps(card).encode())}
    data = put_chunks(face, chunk, lambda keyword: False, "vilde.png")
    page.get_by_text("Begin with a file, or try an example").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "vilde.png", "mimeType": "image/png", "buffer": data}
    )
    page.get_by_role("heading", name="Look it over").wait_for()


def take(page: Page, url: str, shot: Shot) -> bytes:
    """The page as a PNG, as long as it is."""
    width, height = page.viewport_size["width"], 700  # type: ignore[index]  # it was set
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{url}/{shot.path}")
    page.locator("h1, [role=heading]").first.wait_for(timeout=60_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=60_000)
    # Widgets are loaded one kind at a time; until then a grey bar stands in their place.
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.wait_for_timeout(1500)
    if shot.before:
        page.set_viewport_size({"width": width, "height": 1000})
        shot.before(page)
        page.wait_for_timeout(800)
        return page.screenshot()
    # Streamlit scrolls inside the page, so the window is made as long as what is in it.
    long = page.evaluate(
        "(document.querySelector('[data-testid=stMainBlockContainer]') || document.body).getBoundingClientRect().height"
    )
    page.set_viewport_size({"width": width, "height": max(height, min(3400, int(long) + 20))})
    page.wait_for_timeout(900)
    return page.screenshot()


def small(data: bytes, most_px: int = 1500) -> bytes:
    """The picture in as many colours as fit into MOST_BYTES."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, most_px)))
    for count in COLOURS:
        out = io.BytesIO()
        image.quantize(count, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() < MOST_BYTES:
            break
    return out.getvalue()


def shots(browser: Browser, url: str, found: list[Shot], context: AppContext, out: Path, look: bool, only: str) -> None:
    """Take them all."""
    out.mkdir(parents=True, exist_ok=True)
    ways = [(size, scheme) for size in SIZES for scheme in ("light", "dark")] if look else [("wide", "light")]
    for size, scheme in ways:
        width, height = SIZES[size]
        window = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
        )
        page = window.new_page()
        for shot in found:
            if not re.search(only, f"{shot.name}-{size}-{scheme}"):
                continue
            staging.workers(context)
            data = take(page, url, shot)
            name = f"{shot.name}-{size}-{scheme}.png" if look else f"studio-{shot.name}.png"
            (out / name).write_bytes(data if look else small(data))
            wide = page.evaluate("document.documentElement.scrollWidth")
            print(name, f"{(out / name).stat().st_size // 1000} KB", "TOO WIDE" if wide > width else "", flush=True)
        window.close()


def main() -> None:
    """Stage, start, take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--look", type=Path, help="every page, size and theme, into this folder")
    parser.add_argument("--draw", action="store_true", help="have the starter draw one character, a minute")
    parser.add_argument("--only", default="", help="regular expression of names")
    given = parser.parse_args()
    found = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := find_program(name)))
    with tempfile.TemporaryDirectory(prefix="understudy-pictures-") as home:
        context = open_context(Settings.from_environment({"UNDERSTUDY_HOME": home}))
        wanted = stage(context, given.runs, given.draw)
        with studio(Path(home)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
            shots(browser, url, wanted, context, given.look or PICTURES, bool(given.look), given.only)
            browser.close()
        context.records.close()


if __name__ == "__main__":
    main()
