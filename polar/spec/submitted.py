"""The base of the specs that researchers submit: those of experiments and of studies."""

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from polar.errors import InvalidInput
from polar.spec import yaml12
from polar.spec.faults import Fault, find_faults
from polar.spec.fields import SpecPart
from polar.spec.text import read_spec_file, read_yaml


class SubmittedSpec(SpecPart):
    """A spec that a researcher submits as YAML or JSON."""

    @classmethod
    def faults_of(cls, error: ValidationError) -> list[Fault]:
        """The faults in pydantic's error, each with its place, what is allowed, and a hint."""
        return find_faults(error.errors(include_url=False), cls.model_json_schema())

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a spec from YAML or JSON text.

        Raises:
            InvalidInput: the text is not YAML, or the spec has faults, which the message lists.
        """
        return cls.from_content(read_yaml(text))

    @classmethod
    def from_content(cls, content: object) -> Self:
        """The spec that `model_dump` or a reader of YAML returned as mappings and lists.

        Raises:
            InvalidInput: the spec has faults, which the message lists.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            lines = "\n".join(f"  {fault}" for fault in cls.faults_of(error))
            raise InvalidInput(f"the spec has faults:\n{lines}") from error

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a spec from a YAML or JSON file.

        Raises:
            InvalidInput: the file cannot be read, or the spec has faults.
        """
        return cls.from_yaml(read_spec_file(path))

    def to_yaml(self) -> str:
        """The complete spec as YAML text that `from_yaml` reads back to an equal spec."""
        return yaml12.dump(self.model_dump(mode="json"))
