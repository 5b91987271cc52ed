"""Checks of the picture files of a character folder: what is listed and what lies in `images/` and `test_images/`.

Missing files, files that nothing lists, and test pictures that are copies of training pictures. Each file is judged by
`image_check.py`, the set by `image_set_check.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.core.character.character import CharacterImage, TestSplit
from pipelines.core.character.character_folder import IMAGES, TEST_IMAGES
from pipelines.core.character.image_check import ImageReport, check_image
from pipelines.core.character.image_decode import decode_image
from pipelines.core.character.image_set_check import check_image_set, is_copy
from pipelines.core.problems import CharacterProblems, Problem, nearest_file


def check_image_files(
    folder: Path, images: Sequence[CharacterImage] | None, shown: Sequence[str] = ()
) -> tuple[list[ImageReport], list[Problem]]:
    """The usable pictures and the problems of `images/`; with `images` None every file there is looked at.

    `shown` are files that only users show: they must be there and open, the rules for a set do not hold for them.
    """
    present = _files_in(folder / IMAGES)
    listed = [name for name in present if name not in shown] if images is None else [image.file for image in images]
    found = []
    for number, name in enumerate(listed):
        if name in listed[:number]:
            found.append(Problem(f"images[{number}].file", f"{name} is listed twice.", "Take one of the two out."))
    listed = list(dict.fromkeys(listed))
    there = [name for name in listed if name in present]
    reports, set_problems = check_image_set((name, present[name]) for name in there)
    if len(there) < len(listed):  # missing files are said by name; the count then is beside the point
        set_problems = [problem for problem in set_problems if problem.field != "images"]
    found += set_problems
    spare = [name for name in present if name not in listed and name not in shown]
    found += _check_shown(shown, present, IMAGES, spare)
    found += [_missing(name, IMAGES, spare) for name in listed if name not in present]
    for name in spare:
        message = f"{name} is in images/ but is not listed, so nothing learns from it."
        mend = "List it under `images:` in character.yaml, or take it out."
        if name.lower().endswith((".txt", ".caption")):
            message = f"{name} is in images/, but captions beside pictures are read on imports and in the studio only."
            mend = "Write its words under `caption:` of the picture, or import the folder of pictures into this one."
        found.append(Problem(f"{IMAGES}/{name}", message, mend, "warning"))
    return reports, found


def check_test_image_files(folder: Path, split: TestSplit, training: Sequence[ImageReport]) -> list[Problem]:
    """Problems of `test_images/`; `training` are the usable pictures of `images/`."""
    present = _files_in(folder / TEST_IMAGES)
    found = _check_shown(split.input_images, present, TEST_IMAGES, list(present))
    for image in split.images:
        where = f"{TEST_IMAGES}/{image.file}"
        if not image.description:
            found.append(
                Problem(
                    where,
                    f"Nothing says what the test picture {image.file} shows.",
                    "Add its expression, clothes, place and pose, or a caption.",
                    "warning",
                )
            )
        if image.file not in present:
            found.append(_missing(image.file, TEST_IMAGES, list(present)))
            continue
        report, problems = check_image(present[image.file], image.file)
        found += [replace(problem, field=where) for problem in problems]
        if report is not None:
            found += _copied_from_training(report, training, where)
    return found


def _check_shown(files: Sequence[str], present: dict[str, Path], kind: str, spare: Sequence[str]) -> list[Problem]:
    """Pictures that users show: missing ones, and those that cannot be opened."""
    found = []
    for file in files:
        if file not in present:
            found.append(_missing(file, kind, spare))
            continue
        try:
            decode_image(present[file], file)
        except CharacterProblems as refused:
            found += [replace(problem, field=f"{kind}/{file}") for problem in refused.problems]
    return found


def _missing(name: str, kind: str, spare: Sequence[str]) -> Problem:
    guess = nearest_file(name, spare)
    mend = f"Did you mean {guess}? Correct its entry." if guess else "Put it there, or take its entry out."
    return Problem(f"{kind}/{name}", f"The picture {name} is listed but is not in {kind}/.", mend)


def _files_in(folder: Path) -> dict[str, Path]:
    """The files of a folder by name; hidden ones (.DS_Store) and Thumbs.db left out."""
    if not folder.is_dir():
        return {}
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: path for name, path in files.items() if not name.startswith(".") and name != "Thumbs.db"}


def _copied_from_training(report: ImageReport, training: Sequence[ImageReport], where: str) -> list[Problem]:
    found = []
    for trained in training:
        if report.sha256 == trained.sha256:
            found.append(
                Problem(
                    where,
                    f"The test picture {report.name} is also the training picture {trained.name}.",
                    "Take it out of one of the two.",
                )
            )
        elif is_copy(report, trained):
            found.append(
                Problem(
                    where,
                    f"The test picture {report.name} is nearly the training picture {trained.name}.",
                    "Use another one, or the score only measures memory.",
                    "warning",
                )
            )
    return found
