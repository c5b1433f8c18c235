"""Specs as text: YAML 1.2, of which JSON is a part."""

import re
from pathlib import Path
from typing import Any

import yaml

from polar.errors import InvalidInput


class _Yaml12Loader(yaml.SafeLoader):
    """PyYAML reads `1e-3` as text, since YAML 1.1 wants `1.0e-3`; YAML 1.2 and JSON do not."""


_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_spec_file(path: Path | str) -> str:
    """The text of a spec file.

    Raises:
        InvalidInput: the file cannot be read.
    """
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the spec file {path}: {error}") from error


def read_yaml(text: str) -> Any:  # noqa: ANN401
    """What a YAML or JSON text says, as plain data that nobody has validated.

    Raises:
        InvalidInput: it is neither.
    """
    try:
        return yaml.load(text, _Yaml12Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-02-30
        raise InvalidInput(f"the spec is neither YAML nor JSON: {error}") from error
