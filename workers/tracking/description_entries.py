"""What MLflow stores of people's names, tags and notes, and what people have edited there.

Beside them, each MLflow run keeps what it was told last: its name, a digest of every tag and of
the note, and what Polar says below the note. What differs from that was edited in MLflow. The
functions are pure.
"""

import hashlib
import json
from collections.abc import Mapping

from service.descriptions import RESERVED, is_plain
from service.storage.telling import Said

#: MLflow's own limit, in characters.
LONGEST_TAG = 5000
#: Tag whose text MLflow shows and lets people edit as the description of a run.
NOTE = "mlflow.note.content"
#: Tags with what Polar says below the note, and with the digests of what was told, by key.
#: MLflow's pages show no tags whose keys begin so.
SAYS, TOLD = "mlflow.polar.says", "mlflow.polar.told"
#: Tag that is the name of a run, and the tag with the name that was told.
NAME, NAMED = "mlflow.runName", "mlflow.polar.named"

_RULE = "---"


def entries(about: str, said: Said) -> dict[str, str]:
    """All tags for what people say, where Polar says this about a run or a study.

    They belong into one request: if only some of them arrived, the others would look edited.
    """
    says = shortened(about, LONGEST_TAG)
    tags = {key: value for key, value in said.tags.items() if is_plain(key)}
    told = {**tags, NOTE: noted(says, said)}
    digests = {key: _digest(value) for key, value in sorted(told.items())}
    note = _with_notes(says, said)
    return {**tags, NOTE: note, SAYS: says, TOLD: json.dumps(digests)}


def name_entries(shown: str, own: str) -> dict[str, str]:
    """The tags for the name that MLflow shows.

    Args:
        shown: The name.
        own: The name that the run or the study has itself; empty if Polar made the shown one.
    """
    return {NAME: shown, NAMED: json.dumps({"shown": shown, "own": own})}


def edited_name(tags: Mapping[str, str]) -> str | None:
    """The name that differs from what was told; None if it does not."""
    name = tags.get(NAME, "").strip()
    return name if name and name != _told_name(tags).get("shown", name) else None


def name_to_take(tags: Mapping[str, str], own: str) -> str | None:
    """The edited name; None where our own has changed after MLflow was told, and so wins."""
    return edited_name(tags) if own == _told_name(tags).get("own") else None


def told_digests(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The digests of what an MLflow run with these tags was told; empty if they are unreadable."""
    return _parsed(tags.get(TOLD, "{}"))


def former_tags(tags: Mapping[str, str], said: Said) -> list[str]:
    """Keys of tags that were told and that nobody says any more."""
    former = (told_digests(tags).keys() & tags.keys()) - said.tags.keys()
    return sorted(key for key in former if not key.startswith(RESERVED))


def edits(tags: Mapping[str, str]) -> dict[str, str | None]:
    """The tags that differ from what was told, with None those that are gone.

    `NOTE` is among them, with what people have written, if the note differs.
    """
    theirs = {key: value for key, value in tags.items() if not key.startswith(RESERVED)}
    if SAYS in tags:  # without it, Polar's words cannot be told from people's
        theirs[NOTE] = _of_people(tags.get(NOTE, ""), tags[SAYS])
    digests = told_digests(tags)
    return {
        key: theirs.get(key)
        for key in sorted(theirs.keys() | digests.keys())
        if _digest(theirs.get(key)) != digests.get(key)
        and (key == NOTE or not key.startswith(RESERVED))
    }


def edits_to_take(tags: Mapping[str, str], said: Said) -> dict[str, str | None]:
    """The edits of what is still said as it was told; elsewhere our own change wins."""
    ours = {**said.tags, NOTE: noted(tags.get(SAYS, ""), said)}
    digests = told_digests(tags)
    return {
        key: value
        for key, value in edits(tags).items()
        if _digest(ours.get(key)) == digests.get(key)
    }


def noted(says: str, said: Said) -> str:
    """What people note, as MLflow shows it above what Polar says."""
    return _of_people(_with_notes(says, said), says)


def is_cut(says: str, said: Said) -> bool:
    """Whether the notes are too long for MLflow, so that it has the beginning alone."""
    return _joined(said) not in _with_notes(says, said)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _told_name(tags: Mapping[str, str]) -> Mapping[str, str]:
    return _parsed(tags.get(NAMED, "{}"))


def _parsed(written: str) -> Mapping[str, str]:
    try:
        content = json.loads(written)
    except (ValueError, RecursionError):  # somebody has edited it
        return {}
    return content if isinstance(content, dict) else {}


def _with_notes(says: str, said: Said) -> str:
    """What people note, above what Polar says; of long notes the beginning, so that both fit."""
    notes, room = _joined(said), LONGEST_TAG - len(says) - 10
    return f"{shortened(notes, room)}\n\n{_RULE}\n\n{says}" if notes and room > 0 else says


def _joined(said: Said) -> str:
    return "\n\n".join(filter(None, said.notes))


def _of_people(note: str, says: str) -> str:
    """What people have written, above or below what Polar says."""
    above, _, below = note.partition(says) if says else (note, "", "")
    return "\n\n".join(filter(None, (above.strip().removesuffix(_RULE).strip(), below.strip())))


def _digest(value: str | None) -> str | None:
    return (
        None
        if value is None
        else hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    )
