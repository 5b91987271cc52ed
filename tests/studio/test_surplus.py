"""Uploads that are too many or no pictures: ticks instead of refusals, and reasons that stay in sight."""

from __future__ import annotations

import pytest

from pipelines.core.character.amounts import MAX_IMAGES
from pipelines.core.character.image_set_check import check_image_set, most_varied
from pipelines.core.problems import CharacterProblems
from studio.actions import characters, create, drafts, images, interactions, refused_uploads, surplus
from studio.context import AppContext
from tests.core.drawings import drawing, encoded

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
PDF = b"%PDF-1.7\n1 0 obj"


@pytest.fixture
def id(context: AppContext) -> str:
    """An empty character."""
    return drafts.create(context)


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def some(*seeds: int) -> list[tuple[str, bytes]]:
    return [(f"photo {seed}.png", encoded(drawing(seed))) for seed in seeds]


def ticked(context: AppContext, id: str) -> list[str]:
    return [one.file for one in surplus.choices(context, draft_of(context, id)) if one.is_used]


def test_no_picture_is_lost_to_the_limit(context: AppContext, id: str) -> None:
    doubles = [("again.png", some(1)[0][1]), ("again 2.png", some(2)[0][1])]
    assert images.add(context, id, [*some(*range(1, 19)), *doubles]) == []
    draft = draft_of(context, id)
    found = surplus.choices(context, draft)
    assert [one.file for one in found] == [f"{number:02d}.png" for number in range(1, 21)]
    assert len(ticked(context, id)) == len(draft["pictures"]) == len(draft["images"]) == MAX_IMAGES
    assert not any(one.is_used for one in found if one.is_unusable) and found[18].is_unusable
    assert not any(problem.field == "images" and "at most" in problem.message for problem in create.all_problems(draft))
    # What came later never takes the tick of what was there.
    before = set(ticked(context, id))
    images.add(context, id, some(30, 31))
    assert set(ticked(context, id)) == before and len(surplus.choices(context, draft_of(context, id))) == 22


def test_a_tick_brings_caption_and_conversation_back(context: AppContext, id: str) -> None:
    images.add(context, id, some(*range(1, 17)))
    file = ticked(context, id)[2]
    images.describe(context, id, file, "expression", "grim")
    number = interactions.add_interaction(context, id, [{"user": "Show!"}, {"character": "Look!"}])
    turn = interactions.interaction_views(draft_of(context, id))[number].ids[1]
    interactions.set_image(context, id, turn, file, "Ada, grim")
    surplus.use(context, id, file, False)
    draft = draft_of(context, id)
    assert file not in ticked(context, id) and all(entry["file"] != file for entry in draft["images"])
    assert drafts.entries_of(draft)["interactions"][0][1] == {"character": "Look!", "scene": "Ada, grim"}
    with pytest.raises(CharacterProblems, match="no longer there"):
        images.describe(context, id, file, "pose", "tall")
    surplus.use(context, id, file, True)
    surplus.use(context, id, file, True)  # another tab
    draft = draft_of(context, id)
    assert drafts.entries_of(draft)["interactions"][0][1]["image"] == file
    assert drafts.caption_entry(draft, file)["expression"] == "grim"
    # One more than can be used is an error that says so, and unticking mends it.
    other = next(one.file for one in surplus.choices(context, draft) if not one.is_used)
    surplus.use(context, id, other, True)
    assert "There are 16 pictures" in images.image_set_problems(draft_of(context, id))[0].message
    surplus.use(context, id, other, False)
    surplus.drop_unused(context, id)
    assert surplus.choices(context, draft_of(context, id)) == []
    with pytest.raises(CharacterProblems, match="no longer there"):
        surplus.use(context, id, other, True)


def test_the_most_varied_are_ticked() -> None:
    files = [(f"{n}.png", encoded(drawing(1, 300 + n, 300))) for n in range(4)]
    files += [(f"{n}.png", encoded(drawing(n))) for n in (5, 6, 7)]
    reports, _ = check_image_set(files)
    assert set(most_varied(reports, 4)[:4]) >= {4, 5, 6}
    assert most_varied([None, *reports], 8)[-1] == 0 and most_varied(reports, 3, [2])[0] == 2
    assert most_varied([], 3) == []


def test_reasons_stay_until_they_are_read_and_the_rest_is_taken(context: AppContext, id: str) -> None:
    files = [("IMG_1.HEIC", HEIC), ("IMG_2.HEIC", HEIC), ("sheet.pdf", PDF), ("odd.txt", b"who?"), *some(1, 2)]
    images.add(context, id, files)
    assert len(draft_of(context, id)["pictures"]) == 2
    heic, pdf, note = refused_uploads.refusals(draft_of(context, id))
    assert heic.count == 2 and heic.message.startswith("IMG_1.HEIC, IMG_2.HEIC: each is a HEIC picture")
    assert "JPEG" in heic.mend and "iPhone" in heic.mend
    assert pdf.message.startswith("sheet.pdf is a PDF") and "screenshot" in pdf.mend
    assert note.severity == "warning" and "odd.txt belongs to no picture" in note.message
    images.add(context, id, some(3))
    assert refused_uploads.refusals(draft_of(context, id)) == []
    images.add(context, id, [("a.pdf", PDF)])
    refused_uploads.forget_refused(context, id)
    assert refused_uploads.refusals(draft_of(context, id)) == []


def test_deleting_a_character_deletes_what_is_not_ticked(context: AppContext, id: str) -> None:
    images.add(context, id, some(*range(1, 18)))
    assert characters.deletion_summary(context, id).lines[0] == "17 pictures"
    key = draft_of(context, id)["aside"][0]["key"]
    assert key in characters._keys_of(context, id)[0]
