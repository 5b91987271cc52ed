"""Expansion against a small local server that speaks the protocol: what is sent, sifted, refused."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.commands.console import character_folder
from pipelines.core.character.character import Character, MultipleChoice, TestSplit
from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.settings import Settings
from pipelines.data.chat_template import reply, user
from pipelines.data.synthesize import SynthesizeError, synthesize

SPLIT = TestSplit(
    dialogues=((user("What do you think of the moon tonight?"), reply("A cold lamp with no keeper at all.")),),
    choices=(MultipleChoice("Which storm is kept in the oldest jar?", ("a", "b", "c", "d"), 0),),
)


class Endpoint:
    """Answers each request with the next of `answers`: text, or a status code."""

    def __init__(self) -> None:
        self.answers: list[str | int] = []
        self.seen: list[tuple[str, dict[str, str], dict]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.seen.append((self.path, dict(self.headers), json.loads(body)))
                answer = endpoint.answers.pop(0)
                status = answer if isinstance(answer, int) else 200
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", f"http://127.0.0.1:{endpoint.port}/elsewhere")
                self.end_headers()
                if isinstance(answer, str):
                    said = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
                    self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def settings(endpoint: Endpoint, tmp_path: Path) -> Settings:
    url = f"http://127.0.0.1:{endpoint.port}/v1"
    return Settings(tmp_path, llm_url=url, llm_key="secret-key", llm_model="writer", llm_timeout_s=5.0)


def line(*turns: str) -> str:
    roles = ("user", "assistant")
    return json.dumps({"messages": [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]})


def test_good_conversations_come_back_and_copies_are_dropped(
    endpoint: Endpoint, settings: Settings, mira: Character
) -> None:
    endpoint.answers = [
        "```json\n"
        + "\n".join(
            [
                line("Do gulls ever visit you up there?", "Every noon, for crusts."),
                line("do gulls EVER visit you, up there", "They do come often."),  # repeats the one above
                line("What do you think of the moon tonight", "Bright enough."),  # the test split's question
                line("Tell me about the sky.", "A cold lamp with no keeper at all!"),  # the test split's reply
                line("Hm.", "So which storm is kept in the oldest jar?"),  # the test split's choice
                line("Is the sea ever quiet for you?", "Only when it plots."),
            ]
        )
        + "\n```",
        line("How many stairs are there to climb?", "Ninety, and I curse each."),
    ]
    expansion = synthesize(mira, SPLIT, wanted=3, settings=settings)
    assert [turns[0].text for turns in expansion.interactions] == [
        "Do gulls ever visit you up there?",
        "Is the sea ever quiet for you?",
        "How many stairs are there to climb?",
    ]
    assert all([turn.role for turn in turns] == ["user", "character"] for turns in expansion.interactions)
    assert expansion.dropped == {"duplicate": 1, "copy of the test split": 3} and expansion.requests == 2


def test_what_is_sent_has_the_persona_and_nothing_held_out(
    endpoint: Endpoint, settings: Settings, mira: Character
) -> None:
    endpoint.answers = [line("Do gulls ever visit you up there?", "Every noon.")]
    synthesize(mira, SPLIT, wanted=1, settings=settings)
    path, headers, body = endpoint.seen[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret-key"
    assert body["model"] == "writer"
    sent = json.dumps(body)
    assert "lighthouse keeper" in sent and "Who are you?" in sent and "Storm 3." in sent
    assert "moon" not in sent and "oldest jar" not in sent and "01.png" not in sent


def test_without_settings_nothing_is_sent(endpoint: Endpoint, tmp_path: Path, mira: Character) -> None:
    with pytest.raises(SynthesizeError, match="UNDERSTUDY_LLM_URL"):
        synthesize(mira, SPLIT, wanted=1, settings=Settings(tmp_path))
    assert endpoint.seen == []


def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, settings: Settings, mira: Character) -> None:
    endpoint.answers = [503, line("Do gulls ever visit you up there?", "Every noon.")]
    assert len(synthesize(mira, None, wanted=1, settings=settings).interactions) == 1
    assert len(endpoint.seen) == 2


@pytest.mark.parametrize(("answer", "said"), [(401, "UNDERSTUDY_LLM_KEY"), (404, "UNDERSTUDY_LLM_URL"), (307, "307")])
def test_refusals_say_what_to_change_and_keep_the_key(
    endpoint: Endpoint, settings: Settings, mira: Character, answer: int, said: str
) -> None:
    endpoint.answers = [answer]
    with pytest.raises(SynthesizeError, match=said) as refused:
        synthesize(mira, None, wanted=1, settings=settings)
    assert "secret-key" not in str(refused.value)
    assert len(endpoint.seen) == 1  # a redirect is not followed


def test_answers_that_are_no_conversations_end_in_an_error(
    endpoint: Endpoint, settings: Settings, mira: Character
) -> None:
    endpoint.answers = ["I am sorry, I cannot do that.", '{"messages": []}']
    with pytest.raises(SynthesizeError, match="nothing usable"):
        synthesize(mira, None, wanted=1, settings=settings)


def test_a_server_that_is_not_there_is_named(settings: Settings, endpoint: Endpoint, mira: Character) -> None:
    endpoint.server.shutdown()
    endpoint.server.server_close()
    with pytest.raises(SynthesizeError, match="cannot be reached"):
        synthesize(mira, None, wanted=1, settings=settings)


def test_the_command_writes_a_copy_to_edit(endpoint, monkeypatch, tmp_path, capsys):
    lines = [
        {"role": "user", "content": "Which shelf is the dustiest one here?"},
        {"role": "assistant", "content": "Hm-hm. Atlases, tall one. Quibb counts nine: spiders."},
    ]
    endpoint.answers = [json.dumps({"messages": lines})]
    monkeypatch.setenv("UNDERSTUDY_LLM_URL", f"http://127.0.0.1:{endpoint.port}/v1")
    monkeypatch.setenv("UNDERSTUDY_LLM_MODEL", "writer")
    folder = tmp_path / "wider"
    assert main(["character", "augment", "quibb", str(folder), "--count", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer == {"folder": str(folder), "added": 1, "dropped": {}}
    assert read_character(folder).interactions[-1][1].text == lines[1]["content"]
    assert read_test_split(folder).choices
    # A second time it must not write over what may have been edited, and without an endpoint nothing is sent.
    assert main(["character", "augment", "quibb", str(folder), "--count", "1"]) == 1
    monkeypatch.delenv("UNDERSTUDY_LLM_URL")
    assert main(["character", "augment", "quibb", str(tmp_path / "other")]) == 1
    assert "nothing was sent" in capsys.readouterr().err
    assert len(endpoint.seen) == 1


def test_the_copy_has_nothing_but_pixels(endpoint, monkeypatch, tmp_path):
    source = tmp_path / "quibb"
    shutil.copytree(character_folder("quibb"), source)
    file = read_character(source).images[0].file
    (source / "images" / file).write_bytes((source / "images" / file).read_bytes() + b"SECRET")
    lines = [{"role": "user", "content": "Which shelf is dusty?"}, {"role": "assistant", "content": "Hm-hm. The top."}]
    endpoint.answers = [json.dumps({"messages": lines})]
    monkeypatch.setenv("UNDERSTUDY_LLM_URL", f"http://127.0.0.1:{endpoint.port}/v1")
    monkeypatch.setenv("UNDERSTUDY_LLM_MODEL", "writer")
    assert main(["character", "augment", str(source), str(tmp_path / "wider"), "--count", "1"]) == 0
    assert not any(b"SECRET" in path.read_bytes() for path in (tmp_path / "wider").rglob("*") if path.is_file())


def test_an_answer_that_is_nested_deeply_is_told(endpoint: Endpoint, settings: Settings, mira: Character) -> None:
    endpoint.answers = ["[" * 50_000, "{}"]
    with pytest.raises(SynthesizeError, match="nothing usable"):
        synthesize(mira, None, wanted=1, settings=settings)
