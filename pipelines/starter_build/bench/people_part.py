"""The part `people`: is somebody the starter has never seen recognised in drawings made without any training?

A person is made as a creator makes one: nine captioned pictures, of which the two that `ranked_references` chooses are
looked at, and the appearance in words. The other seven are the person's gallery. Each drawing, of a combination that
training never shows, is compared with 64 galleries, the person's own and 63 others' drawn at random; the critic's
nearest (highest mean cosine of identity) should be the own one.

Dimension letters: N drawings, P people, G pictures of a gallery, D width of an identity vector.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.character.references import ranked_references
from pipelines.rewards.image_features import ImageFeatures
from pipelines.starter_build.bench.bench_context import CRITIC, BenchContext, DrawingRequest, sampling_settings
from pipelines.starter_build.bench.drawn_pictures import label, open_pictures, rendered, to_images
from pipelines.starter_build.bench.readings import PartResult, mean, share
from pipelines.starter_build.bench.sheets import save_sheets
from pipelines.starter_build.drawings.attributes import Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import made_up_name

PART = "people"
GOAL = 0.94
PICTURES, REFERENCES = 9, 2
FIRST_NUMBER = 2000
"""People are held-out identities from here on: none that another part draws."""
SHEET_PEOPLE = 20
AT_ONCE = 2
"""People drawn in one batch."""


@dataclass(frozen=True)
class Person:
    """Somebody unseen: who it is, what the nine pictures show, and what is asked for."""

    identity: Identity
    name: str
    pictures: tuple[Attributes, ...]
    asked: tuple[Attributes, ...]

    @property
    def character(self) -> Character:
        """As a creator describes the person."""
        images = tuple(
            CharacterImage(f"{number}", one.expression, one.clothes, one.place, one.pose)
            for number, one in enumerate(self.pictures)
        )
        return Character(self.name, "", appearance=f"{self.name} is {self.identity.words}.", images=images)

    def split(self) -> tuple[list[Attributes], list[Attributes]]:
        """What references and gallery show."""
        chosen = [int(file) for file in ranked_references(self.character)[:REFERENCES]]
        gallery = [one for number, one in enumerate(self.pictures) if number not in chosen]
        return [self.pictures[number] for number in chosen], gallery


def sample_people(domain: Domain, count: int, drawings: int) -> list[Person]:
    """The first `count` people; each is a function of its place alone."""
    people = []
    for place in range(count):
        rng = random.Random(f"{PART} {place}")
        identity = domain.identity(20 * (FIRST_NUMBER + place))  # every twentieth number is held out
        pictures = tuple(domain.sample_attributes(rng, identity) for _ in range(PICTURES))
        asked = tuple(domain.sample_attributes(rng, identity, held_out=True) for _ in range(drawings))
        people.append(Person(identity, made_up_name(rng), pictures, asked))
    return people


def run_people(context: BenchContext) -> PartResult:
    """Draw and compare; goes on where an earlier call stopped."""
    counts = context.counts
    settings = {
        **sampling_settings(),
        "references": REFERENCES,
        "galleries": counts.galleries,
        "drawings": counts.people_drawings,
        "domain": list(context.domain.styles),
    }
    people = sample_people(context.domain, max(counts.people, counts.galleries), counts.people_drawings)
    log = context.log(PART, (CRITIC,), settings)
    places = range(counts.people)
    galleries: list[ImageFeatures] = []
    for batch in context.todo(log, places, _name, AT_ONCE):
        galleries = galleries or _galleries(context, people)
        for place, drawn in zip(batch, _draw(context, [people[place] for place in batch], batch), strict=True):
            person = people[place]
            real = rendered([(person.identity, one) for one in person.asked], context.px)
            others = other_people(place, len(people), counts.galleries - 1)
            log.add(
                _name(place),
                drawn=_identify(context, drawn, galleries, place, others),
                real=_identify(context, real, galleries, place, others),
            )
    records = [log.records[_name(place)] for place in places]

    def column(side: str, key: str) -> list[list[float]]:
        return [record[side][key] for record in records]

    scores = {
        "identity": share(
            [[nearest == place for nearest in record["drawn"]["nearest"]] for place, record in enumerate(records)],
            [[nearest == place for nearest in record["real"]["nearest"]] for place, record in enumerate(records)],
            GOAL,
        ),
        "likeness": mean(column("drawn", "likeness"), column("real", "likeness")),
    }
    sheets = _sheets(context, people[: counts.people][:SHEET_PEOPLE])
    return PartResult(PART, len(records), scores, sheets, settings=settings)


def _draw(context: BenchContext, people: list[Person], places: Sequence[int]) -> list[torch.Tensor]:
    """Of each person (N, 3, px, px), all drawn in one batch and kept."""
    requests = []
    for place, person in zip(places, people, strict=True):
        references = context.codes(rendered([(person.identity, one) for one in person.split()[0]], context.px))
        requests += [
            DrawingRequest(person.character, one.description, 100 * place + number, references)
            for number, one in enumerate(person.asked)
        ]
    drawn = list(context.draw(requests).split(context.counts.people_drawings))
    for place, pixels in zip(places, drawn, strict=True):
        for number, one in enumerate(pixels):
            context.keep(PART, f"{_name(place)}-{number}", one)
    return drawn


def other_people(place: int, people: int, count: int) -> list[int]:
    """Places of `count` people other than that one, at random but the same every time."""
    return random.Random(f"others {place}").sample([other for other in range(people) if other != place], count)


def nearest_place(vectors: torch.Tensor, galleries: list[torch.Tensor], places: list[int]) -> list[int]:
    """Of each unit vector (N, D) the place, among those given, whose gallery (G, D) is nearest by mean cosine."""
    means = torch.stack([(vectors @ galleries[place].T).mean(1) for place in places], 1)  # (N, places)
    return [places[best] for best in means.argmax(1).tolist()]


def _identify(
    context: BenchContext, pixels: torch.Tensor, galleries: list[ImageFeatures], place: int, others: list[int]
) -> dict[str, list[float]]:
    with torch.inference_mode():
        features = context.critic.encode_images(pixels)
    identities = [gallery.identity for gallery in galleries]
    return {
        "nearest": nearest_place(features.identity, identities, [place, *others]),
        "likeness": context.critic.likeness(features, galleries[place]).mean(1).tolist(),
    }


@torch.inference_mode()
def _galleries(context: BenchContext, people: list[Person]) -> list[ImageFeatures]:
    context.say(f"{PART}: rendering {len(people)} galleries")
    return [
        context.critic.encode_images(rendered([(person.identity, one) for one in person.split()[1]], context.px))
        for person in people
    ]


def _sheets(context: BenchContext, people: list[Person]) -> tuple[str, ...]:
    """A row for each person: the two references, then the drawings."""
    images, labels = [], []
    for place, person in enumerate(people):
        references = [(person.identity, one) for one in person.split()[0]]
        images += to_images(rendered(references, context.px))
        images += open_pictures([context.picture(PART, f"{_name(place)}-{at}") for at in range(len(person.asked))])
        labels += [f"reference: {label(*one)}" for one in references]
        labels += [one.description for one in person.asked]
    columns = REFERENCES + context.counts.people_drawings
    return save_sheets(context.out, PART, images, labels, columns)


def _name(place: int) -> str:
    return f"{place:04d}"
