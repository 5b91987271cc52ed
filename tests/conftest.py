"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pipelines.core.character.character import Character, CharacterImage, Fact
from pipelines.core.settings import Settings
from pipelines.data.chat_template import reply, user
from tests.services import PostgresServer, RedisServer, S3Server, running
from tests.toys import TOY_BASE, TOY_STEPS, write_toy

# A shell starts what it puts into the background with Ctrl-C ignored, and the programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("e2e", "worker", "benchmarks")
"""Folders whose files begin first, so that no process is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of LONGEST before the others, in the order they have."""
    root = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(root).parts[0] not in LONGEST)


@pytest.fixture(scope="session")
def toy_character(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole character folder with a held-out split; not to be written to."""
    return write_toy(tmp_path_factory.mktemp("characters") / "ada")


@pytest.fixture(scope="session")
def toy_run(toy_character: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of the toy character on the toy starter; not to be written to."""
    from pipelines.core.jobs.recipe import Recipe
    from pipelines.train import prepare_run, train

    run_dir = tmp_path_factory.mktemp("runs") / "ada"
    prepare_run(run_dir, toy_character, Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS))
    train(run_dir)
    return run_dir


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One redis-server for the session; a test that kills it must start it again."""
    with running(RedisServer) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty Redis."""
    redis_server.empty()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session; a test that kills it must start it again."""
    with running(PostgresServer) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy's address of a database of the test's own, without tables."""
    with postgres_server.database(f"test_{uuid.uuid4().hex}") as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the session; a test that kills it must start it again."""
    with running(S3Server) as server:
        yield server


@pytest.fixture
def s3_settings(s3_server: S3Server, tmp_path: Path) -> Iterator[Settings]:
    """Settings with the home in `tmp_path` and objects in a bucket of the test's own."""
    settings = s3_server.settings(tmp_path / "home", f"test-{uuid.uuid4().hex}")
    s3_server.make_bucket(settings)
    yield settings
    s3_server.remove_bucket(settings)


@pytest.fixture(scope="session")
def mira() -> Character:
    """Three pictures, three conversations (one with a picture), five facts."""
    return Character(
        name="Mira",
        persona="A lighthouse keeper who collects storms.",
        style="Short and salty.",
        appearance="Red hair.",
        facts=tuple(Fact(f"What is in jar {n}?", f"Storm {n}.") for n in range(1, 6)),
        images=(
            CharacterImage("01.png", "happy", "a red scarf", "on a beach"),
            CharacterImage("02.png", "sad", "a blue cape", "in the snow"),
            CharacterImage("03.png", "angry", "a red scarf", "in a forest", "close-up"),
        ),
        interactions=(
            (user("Who are you?"), reply("Mira. I keep the light."), user("Alone?"), reply("Never. There is wind.")),
            (user("Where are you?"), reply("Down by the water.", "Mira, happy, on a beach", "01.png")),
            (user("Are you cold?"), reply("Always."), user("Why stay?"), reply("Who else would?")),
        ),
        licence="CC0-1.0",
    )


@pytest.fixture(scope="session")
def new_run_dir(tmp_path_factory: pytest.TempPathFactory, mira: Character) -> Callable[[], Path]:
    """Makes fresh run folders that hold Mira's pictures."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("mira") / "run"
        (folder / "character" / "images").mkdir(parents=True)
        for place, image in enumerate(mira.images):
            drawn = Image.new("RGB", (64, 64), ("gold", "white", "green")[place])
            ImageDraw.Draw(drawn).ellipse((16, 16, 40 + 8 * place, 48), fill="red")
            drawn.save(folder / "character" / "images" / image.file)
        return folder

    return make


@pytest.fixture
def run_dir(new_run_dir: Callable[[], Path]) -> Path:
    """A fresh run folder that holds Mira's pictures."""
    return new_run_dir()
