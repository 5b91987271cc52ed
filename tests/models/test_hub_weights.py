"""Published weights found in a folder, in the hub's cache or not at all; every failure in words with a mend."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from pipelines.core.settings import Settings
from pipelines.models.hub_weights import MODELS, UNCONFIRMED, WeightsMissing, fetch, pinned
from pipelines.models.janus_loading import load_janus
from pipelines.models.janus_random_weights import SIZES, write_layout

JANUS = MODELS["janus-pro-1b"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and the hub out of reach."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("MODELS", "REVISIONS"):
        monkeypatch.delenv(f"UNDERSTUDY_{name}", raising=False)
    return folder


def snapshot(cache: Path, revision: str = JANUS.revision) -> Path:
    """Where the hub client keeps a commit."""
    return cache / f"models--{JANUS.repository.replace('/', '--')}" / "snapshots" / revision


def answering(error: Exception):
    """A `snapshot_download` that fails."""

    def fail(*args: object, **kwargs: object) -> str:
        raise error

    return fail


def told(kind: type[errors.HfHubHTTPError], status: int) -> Exception:
    """The client's own exception, as if the hub had answered with this status."""
    answer = SimpleNamespace(status_code=status, headers={}, request=None, url="https://huggingface.co", text="")
    return kind(f"{status}", response=answer)


def test_every_checkpoint_is_pinned_to_a_commit_or_asks_and_settings_may_say_otherwise(settings: Settings) -> None:
    asks = {name for name, model in MODELS.items() if model.revision == UNCONFIRMED}
    assert asks == {"janus-pro-7b"}
    assert all(re.fullmatch("[0-9a-f]{40}", model.revision) for name, model in MODELS.items() if name not in asks)
    other = Settings.from_environment({"UNDERSTUDY_REVISIONS": "janus-pro-7b=abc, dinov2=def"})
    assert pinned("janus-pro-7b", other).revision == "abc" and pinned("dinov2", other).revision == "def"
    assert pinned("janus-pro-1b", other) == JANUS
    with pytest.raises(ValueError, match="UNDERSTUDY_REVISIONS: 'janus' names no revision"):
        Settings.from_environment({"UNDERSTUDY_REVISIONS": "janus"})


def test_a_revision_that_nobody_pinned_is_confirmed_once(
    cache: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = r"janus-pro-7b .*confirmed once.*UNDERSTUDY_REVISIONS=janus-pro-7b=COMMIT.*Janus-Pro-7B in the folder"
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answering(AssertionError("nothing is fetched before")))
    with pytest.raises(WeightsMissing, match=asked):
        fetch("janus-pro-7b", settings)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answering(ConnectionError("asked the hub")))
    with pytest.raises(WeightsMissing, match=r"revision main.*asked the hub"):
        fetch("janus-pro-7b", replace(settings, revisions={"janus-pro-7b": "main"}))
    write_layout(tmp_path / "weights" / "Janus-Pro-7B", SIZES["toy"])
    assert fetch("janus-pro-7b", replace(settings, models=str(tmp_path / "weights"))).revision == "local"


@pytest.mark.parametrize("name", list(MODELS))
def test_weights_out_of_reach_are_explained(cache: Path, settings: Settings, name: str) -> None:
    settings = replace(settings, revisions={"janus-pro-7b": "main"})
    with pytest.raises(WeightsMissing, match=f"{name} .*could not be reached.*hf download.*'starter' needs no downl"):
        fetch(name, settings)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (told(errors.GatedRepoError, 403), "accept its terms: open huggingface.co/deepseek-comm.*hf auth"),
        (told(errors.RepositoryNotFoundError, 404), "no such model, or it is private.*UNDERSTUDY_MODELS"),
        (told(errors.RevisionNotFoundError, 404), "no such revision.*UNDERSTUDY_REVISIONS.*commits/main"),
        (told(errors.HfHubHTTPError, 500), "answered with an error.*Try again later"),
        (errors.LocalEntryNotFoundError("nothing here"), "could not be reached"),
        (OSError(28, "No space left on device"), "No space left on device.*disk of the cache"),
        (ConnectionError("name resolution"), "name resolution.*Check the connection"),
    ],
    ids=["gated", "missing", "revision", "hub down", "no network", "disk", "connection"],
)
def test_every_failure_of_the_client_is_said_plainly(
    error: Exception, words: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answering(error))
    with pytest.raises(WeightsMissing, match=words) as caught:
        fetch("janus-pro-1b", settings)
    assert caught.value.__cause__ is error


def test_a_cached_commit_is_loaded_without_the_hub_and_its_revision_is_known(cache: Path) -> None:
    write_layout(snapshot(cache), SIZES["toy"])
    assert fetch("janus-pro-1b").revision == JANUS.revision
    model, _ = load_janus("janus-pro-1b")
    assert model.spec.image_tokens == SIZES["toy"].image_tokens


def test_a_branch_is_resolved_to_its_commit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "a" * 40
    write_layout(snapshot(cache, commit), SIZES["toy"])
    refs = snapshot(cache).parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    monkeypatch.setenv("UNDERSTUDY_REVISIONS", "janus-pro-1b=main")
    assert fetch("janus-pro-1b").revision == commit


def test_a_download_that_broke_off_is_told_offline(cache: Path) -> None:
    write_layout(snapshot(cache), SIZES["toy"])
    (snapshot(cache) / "model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"half downloaded|model.safetensors is missing; run `hf download"):
        fetch("janus-pro-1b")


def test_a_folder_of_ones_own_comes_first(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "weights" / "Janus-Pro-1B"
    write_layout(own, SIZES["toy"])
    monkeypatch.setenv("UNDERSTUDY_MODELS", str(tmp_path / "weights"))
    assert (fetch("janus-pro-1b").folder, fetch("janus-pro-1b").revision) == (own, "local")
    load_janus("janus-pro-1b")
    (own / "config.json").unlink()
    with pytest.raises(WeightsMissing, match=r"janus-pro-1b in .*config.json is missing; copy the folder again"):
        load_janus("janus-pro-1b")


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="janus-pro-1b, janus-pro-7b"):
        load_janus("janus-pro-2b")
