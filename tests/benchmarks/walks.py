"""Random walks through the wizard, after which nothing that was typed may be missing.

    python -m tests.benchmarks.walks [--walks 200] [--steps 20] [--seed 0] [--out FILE]

A real studio with its real database and store, and Chromium. A walk is one browser with up to two tabs on one
character; a step types a word into some field (at a person's or a robot's speed, at its end or in place of what stands
there), presses a button, goes back or forward, refreshes, goes to another page, or opens, changes or closes a tab.
Every word is typed once. After the walk each of them, unless its writer has replaced or removed it, must stand in the
draft, or in a text that the wizard shows as a second one. `make test` takes a few walks.

A walk depends on the seed and its number alone (but for the studio's speed). Each is a line of FILE, and a second
call goes on after them. The last line on standard output is one JSON object; exit status 1 when a word is missing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from studio.actions import characters, drafts, images, interactions
from studio.context import AppContext, open_context
from tests.core.drawings import drawing, encoded
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.studio_alone import Studio, started
from tests.services import find_program

STEPS = 20
BEGUN = ("begun0z", "begun1z", "begun2z", "begun3z", "begun4z", "begun5z")
"""What stands in the character before the walk: a name, two facts and a line."""
PERSON_MS, ROBOT_MS = (60, 110), (0, 5)
"""Between two keys."""
SOON_MS = 4000
"""How long anything may take to appear before the walker turns elsewhere, as people do."""
KEPT_S = 20.0
"""How long after a walk a word may still be on its way."""
FIELDS = """() => [...document.querySelectorAll('[class*="st-key-"]')].flatMap(box => {
  const field = box.querySelector('input, textarea');
  const key = [...box.classList].find(name => /^st-key-(text|caption|words|scene|fact)-[0-9a-f]{32}-/.test(name));
  return key && field && field.offsetParent && !field.disabled ? [key] : [];
})"""
PRESSABLE = """() => ["step-next", "step-back", "new-talk", "add-user", "add-character"].filter(
  key => document.querySelector(`.st-key-${key} button:enabled`))"""
PAGES = ("", "training", "system", "compare")


@dataclass
class Walk:
    """One walk: where it is, and what it has typed."""

    number: int
    chosen: random.Random
    context: AppContext
    browser: BrowserContext
    studio: Studio
    character: str
    tabs: list[Page] = field(default_factory=list)
    at: int = 0
    words: dict[str, str] = field(default_factory=dict)
    """Word -> what was done with it."""
    forgiven: set[str] = field(default_factory=set)
    """Words that their writer has seen and replaced or removed."""
    unseen: int = 0
    """Words whose keys came into no field: the page had changed under the cursor."""
    log: list[str] = field(default_factory=list)

    @property
    def tab(self) -> Page:
        """The tab in front."""
        return self.tabs[self.at]

    def open(self) -> None:
        """A tab on a step of the wizard."""
        tab = self.browser.new_page()
        tab.set_default_timeout(SOON_MS)
        tab.on("dialog", lambda dialog: dialog.accept())
        self.tabs.append(tab)
        self.at = len(self.tabs) - 1
        self.visit(self.wizard())

    def wizard(self) -> str:
        """The address of a step; those with the most to type come most often."""
        return f"create?character={self.character}&step={self.chosen.choice((1, 2, 2, 3, 3, 4))}"

    def visit(self, path: str) -> None:
        """Go to an address, and wait until something stands there."""
        self.tab.goto(f"{self.studio.url}/{path}", timeout=60_000)
        self.tab.locator("h1").first.wait_for(timeout=60_000)


def walk(
    number: int, seed: int, steps: int, context: AppContext, browser: BrowserContext, studio: Studio
) -> dict[str, Any]:
    """One walk from a new character to the count of what is missing."""
    began = time.monotonic()
    chosen = random.Random(f"{seed}/{number}")
    one = Walk(number, chosen, context, browser, studio, _character(context))
    one.words.update(dict.fromkeys(BEGUN, "there from the beginning"))
    one.open()
    for at in range(steps):
        name = chosen.choices(list(ACTIONS), [weight for _, weight in ACTIONS.values()])[0]
        try:
            told = ACTIONS[name][0](one) or ""
        except PlaywrightError as error:  # what the walker reached for is not there: people turn elsewhere too
            told = f"not there: {str(error).splitlines()[0][:80]}"
        one.log.append(f"{at} tab {one.at} {name} {told}".rstrip())
    for tab in one.tabs:
        tab.close(run_before_unload=chosen.random() < 0.5)
    one.tabs.clear()
    one.open()  # whoever comes back: what a closed tab could not send comes with the next page
    missing = _missing(one)
    one.tab.evaluate("localStorage.clear()")
    one.tab.close()
    draft = drafts.own_character(context, one.character).draft
    return {
        "walk": number,
        "seed": seed,
        "steps": steps,
        "words": len(one.words),
        "replaced": len(one.forgiven),
        "unseen": one.unseen,
        "clashes": len(draft.get("clashes", ())),
        "missing": missing,
        "not_there": sum("not there" in line for line in one.log),
        "seconds": round(time.monotonic() - began, 1),
        "log": one.log,
    }


def _character(context: AppContext) -> str:
    """Somebody half made: two pictures, two facts, one conversation."""
    id = drafts.create(context)
    drafts.set_text(context, id, "name", BEGUN[0])
    drafts.set_facts(context, id, [BEGUN[1:3], BEGUN[3:5]])
    images.add(context, id, [(f"{seed}.png", encoded(drawing(seed))) for seed in (1, 2)])
    interactions.add_interaction(context, id, [{"user": "Hello?"}, {"character": BEGUN[5]}])
    characters.open_draft(context, id)
    return id


def _texts(context: AppContext, id: str) -> str:
    """Everything that is written in the draft and in second texts."""
    draft = drafts.own_character(context, id).draft
    return json.dumps({key: value for key, value in draft.items() if key != "written"}, ensure_ascii=False)


def _missing(one: Walk) -> list[str]:
    """Words that are nowhere, with what was done with them."""
    until = time.monotonic() + KEPT_S
    while True:
        texts = _texts(one.context, one.character)
        lost = [word for word in one.words if word not in one.forgiven and word not in texts]
        if not lost or time.monotonic() > until:
            return [f"{word}: {one.words[word]}" for word in lost]
        time.sleep(0.25)


# ---------------------------------------------------------------- what a step does


def type_word(one: Walk) -> str:
    """A word into some field, at its end or in place of what stands there."""
    one.tab.wait_for_function(f"({FIELDS})().length > 0")
    keys = one.tab.evaluate(FIELDS)
    if not keys:
        return "no field"  # the page went on meanwhile
    # Often where something was typed before: that is where two tabs meet.
    again = sorted(key for key in keys if any(told.endswith(key) for told in one.words.values()))
    key = one.chosen.choice(again if again and one.chosen.random() < 0.5 else sorted(keys))
    box = one.tab.locator(f".{key}").locator("input, textarea").first
    word = f"q{one.number}x{len(one.words)}z"
    low, high = one.chosen.choice((PERSON_MS, ROBOT_MS, ROBOT_MS))
    replaces = one.chosen.random() < 0.25
    box.click()
    if replaces:
        before = box.input_value()
        one.tab.keyboard.press("Control+a")
        one.forgiven.update(known for known in one.words if known in before)
    else:
        one.tab.keyboard.press("Control+End")
    one.tab.keyboard.type(word if replaces else f" {word}", delay=one.chosen.uniform(low, high))
    held = str(one.tab.evaluate("document.activeElement?.value ?? ''"))
    if word not in held:
        one.unseen += 1
        return f"{key}: unseen"
    one.words[word] = f"step {len(one.log)}, tab {one.at}, {key}"
    return key


def press(one: Walk) -> str:
    """One of the wizard's buttons, at once."""
    one.tab.wait_for_function(f"({PRESSABLE})().length > 0")
    names = sorted(one.tab.evaluate(PRESSABLE))
    if not names:
        return "no button"
    name = one.chosen.choice(names)
    one.tab.locator(f".st-key-{name} button").first.click(delay=one.chosen.choice((0, 0, 90)))
    return name


def remove(one: Walk) -> str:
    """Take out a fact whose words stand on the page."""
    rows = one.tab.locator("[class*='st-key-fact-row-']")
    if not rows.count():
        return "no facts"
    row = rows.nth(one.chosen.randrange(rows.count()))
    button = row.get_by_role("button")
    if button.is_disabled():
        return "an empty row"
    boxes = row.locator("input")
    boxes.nth(1).wait_for()  # the page may be drawn just now, and the button be there before the fields
    seen = " ".join(box.input_value() for box in boxes.all())
    button.click()
    one.forgiven.update(word for word in one.words if word in seen)
    return "a fact"


def back(one: Walk) -> None:
    """The browser's own way back, and sometimes forward again."""
    one.tab.go_back(timeout=SOON_MS)
    if one.chosen.random() < 0.5:
        one.tab.go_forward(timeout=SOON_MS)
    if "create?" not in one.tab.url:
        one.visit(one.wizard())


def refresh(one: Walk) -> None:
    """Refresh, whatever is going on."""
    one.tab.reload(timeout=60_000)
    if one.chosen.random() < 0.5:
        one.tab.locator("h1").first.wait_for()


def elsewhere(one: Walk) -> str:
    """To another page by its link and back to the wizard."""
    name = one.chosen.choice(PAGES)
    one.tab.locator(f"header a[href$='/{name}']").first.click()
    one.visit(one.wizard())
    return name or "characters"


def other_tab(one: Walk) -> str:
    """A second tab: open it, change to it, or close one."""
    if len(one.tabs) == 1:
        one.open()
        return "opened"
    if one.chosen.random() < 0.7:
        one.at = 1 - one.at
        one.tab.bring_to_front()
        return "changed"
    one.tabs.pop(one.at).close(run_before_unload=one.chosen.random() < 0.5)
    one.at = 0
    return "closed"


def rest(one: Walk) -> None:
    """Do nothing for a moment."""
    one.tab.wait_for_timeout(one.chosen.uniform(100, 900))


ACTIONS: dict[str, tuple[Any, int]] = {
    "type": (type_word, 12),
    "press": (press, 5),
    "remove": (remove, 1),
    "back": (back, 2),
    "refresh": (refresh, 2),
    "elsewhere": (elsewhere, 1),
    "tab": (other_tab, 3),
    "rest": (rest, 2),
}
"""Name -> what it does, and how often beside the others."""


# ---------------------------------------------------------------- all of them


def run(walks: int, steps: int, seed: int, home: Path, out: Path | None = None) -> dict[str, Any]:
    """The walks that `out` does not hold yet, and the sums over all of them."""
    done = [json.loads(line) for line in out.read_text().splitlines()] if out and out.exists() else []
    done = [one for one in done if (one["seed"], one["steps"]) == (seed, steps) and one["walk"] < walks]
    left = sorted(set(range(walks)) - {one["walk"] for one in done})
    program = next(path for name in CHROMIUM if (path := find_program(name)))
    if left:
        with started(home) as studio, sync_playwright() as playwright:
            context = open_context(studio.settings)
            chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
            # One for all: it has the studio's scripts from the first walk on.
            browser = chromium.new_context(viewport={"width": 1280, "height": 1000})
            for number in left:
                found = walk(number, seed, steps, context, browser, studio)
                done.append(found)
                short = {key: value for key, value in found.items() if key != "log" or found["missing"]}
                print(json.dumps(short), file=sys.stderr, flush=True)
                if out:
                    with out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")
            chromium.close()
            context.records.close()
    sums = {key: sum(one[key] for one in done) for key in ("words", "replaced", "unseen", "clashes", "not_there")}
    return {
        "walks": len(done),
        "steps": steps * len(done),
        **sums,
        "missing": sum(len(one["missing"]) for one in done),
        "walks_with_missing": [one["walk"] for one in done if one["missing"]],
        "seconds": round(sum(one["seconds"] for one in done), 1),
    }


def main() -> int:
    """Run it; exit status 0 when nothing is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.walks")
    parser.add_argument("--walks", type=int, default=200)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of finished walks, one a line; a second call goes on after them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="understudy-walks-") as folder:
        found = run(arguments.walks, arguments.steps, arguments.seed, Path(folder), arguments.out)
    print(json.dumps(found))
    return int(found["missing"] > 0)


if __name__ == "__main__":
    sys.exit(main())
