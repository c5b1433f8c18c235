"""What MLflow stores of people's names, tags and notes, and what was edited."""

import itertools
import json

import pytest
from mlflow.utils.validation import path_not_unique

from service.descriptions import is_plain
from service.storage.telling import Said
from workers.tracking import description_entries
from workers.tracking.description_entries import LONGEST_TAG, NAME, NAMED, NOTE, SAYS, TOLD

ABOUT = "**running**\n\nPolar run `4711`, attempt 1."
TAGS = {"a": "1", "b": ""}


@pytest.mark.parametrize("length", range(LONGEST_TAG - 70, LONGEST_TAG + 3))
@pytest.mark.parametrize("notes", [[], ["Short."]], ids=["alone", "with another"])
def test_what_was_told_is_no_edit_however_long_it_is(length: int, notes: list[str]) -> None:
    for about, said in (
        (ABOUT, Said(tags=TAGS, notes=["n" * length, *notes])),
        ("a" * length, Said(tags=TAGS, notes=notes)),
    ):
        told = description_entries.entries(about, said)

        assert max(len(value) for value in told.values()) <= LONGEST_TAG
        assert description_entries.edits(told) == {}


@pytest.mark.parametrize(
    "note",
    [
        "\n above and below \n\n",
        "rules\n\n---",
        "---\n\nrules",
        "two\n\n---\n\nrules",
        "\N{SNOWMAN}",
    ],
)
def test_a_note_may_have_blanks_and_rules(note: str) -> None:
    said = Said(notes=[note])

    told = description_entries.entries(ABOUT, said)

    assert description_entries.edits(told) == {}
    assert description_entries.noted(told[SAYS], said) == note.strip()


def test_edits_are_those_of_people_alone() -> None:
    told = description_entries.entries(ABOUT, Said(tags=TAGS, notes=["Before."]))
    told.pop("b")
    edited = {"a": "2", "c": "", "polar.state": "mine", "mlflow.user": "me", NOTE: "After."}

    assert description_entries.edits(told | edited) == {
        "a": "2",
        "b": None,
        "c": "",
        NOTE: "After.",
    }


@pytest.mark.parametrize(
    ("ours", "taken"),
    [
        (Said(tags=TAGS, notes=["Before."]), {"a": "2", "b": None, "c": "", NOTE: "After."}),
        (Said(tags=TAGS, notes=["Ours."]), {"a": "2", "b": None, "c": ""}),
        (Said(tags={"b": ""}, notes=["Before."]), {"b": None, "c": "", NOTE: "After."}),
        (
            Said(tags=TAGS | {"c": "ours"}, notes=["Before."]),
            {"a": "2", "b": None, NOTE: "After."},
        ),
    ],
    ids=["unchanged", "another note", "a tag less", "a tag more"],
)
def test_what_has_changed_on_both_sides_is_not_taken(
    ours: Said, taken: dict[str, str | None]
) -> None:
    theirs = description_entries.entries(ABOUT, Said(tags=TAGS, notes=["Before."]))
    theirs |= {"a": "2", "c": "", NOTE: "After."}
    theirs.pop("b")

    assert description_entries.edits_to_take(theirs, ours) == taken


def test_runs_of_earlier_versions_keep_their_notes() -> None:
    theirs = {"a": "1", NOTE: f"A note.\n\n---\n\n{ABOUT}"}

    assert description_entries.edits_to_take(theirs, Said(tags={"a": "2"}, notes=["Ours."])) == {}


def test_what_mlflow_and_polar_write_is_never_removed() -> None:
    told = json.dumps(dict.fromkeys(["polar.run_id", "mlflow.user", "a"], "edited"))
    theirs = {"polar.run_id": "4711", "mlflow.user": "me", "a": "", TOLD: told}

    assert description_entries.former_tags(theirs, Said()) == ["a"]
    assert description_entries.edits(theirs) == {"a": ""}


def test_tags_that_nobody_says_any_more_are_those_that_were_told() -> None:
    theirs = description_entries.entries(ABOUT, Said(tags=TAGS)) | {"theirs": "kept"}

    assert description_entries.former_tags(theirs, Said(tags={"a": "2"})) == ["b"]


@pytest.mark.parametrize(
    ("shown", "own", "taken"),
    [
        ("seed 0 (digits)", "", None),
        ("the good one", "", "the good one"),
        (" the good one\t", "", "the good one"),
        ("the good one", "ours", None),
        (" ", "", None),
    ],
    ids=["as it was told", "edited", "with blanks", "edited on both sides", "blank"],
)
def test_a_name_is_taken_where_it_was_edited_in_mlflow_alone(
    shown: str, own: str, taken: str | None
) -> None:
    theirs = {**description_entries.name_entries("seed 0 (digits)", ""), NAME: shown}

    assert description_entries.name_to_take(theirs, own) == taken


@pytest.mark.parametrize("named", [None, "{", "[]", "[" * 5000, '"shown"', "{}", '{"own": ""}'])
def test_a_name_is_kept_where_nobody_knows_what_was_told(named: str | None) -> None:
    theirs = {NAME: "theirs"} if named is None else {NAME: "theirs", NAMED: named}

    assert description_entries.edited_name(theirs) is None
    assert description_entries.name_to_take(theirs, "") is None


def test_keys_of_tags_are_those_that_mlflow_takes() -> None:
    keys = ["".join(key) for size in range(1, 7) for key in itertools.product("a./", repeat=size)]

    assert [key for key in keys if is_plain(key)] == [
        key
        for key in keys
        if not path_not_unique(key)  # type: ignore[no-untyped-call]
    ]


def test_a_tag_that_mlflow_refuses_is_not_told_and_no_edit() -> None:
    said = Said(tags={"../x": "1", "a": "2"})

    told = description_entries.entries(ABOUT, said)

    assert (told.get("../x"), told["a"]) == (None, "2")
    assert description_entries.edits(told) == {}
    assert description_entries.former_tags(told, said) == []
