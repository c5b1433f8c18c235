"""The newest revision of the schema, without loading Alembic or any migration."""

from functools import cache
from importlib.resources import files

#: SQL that tells whether a database has been migrated before, and if so, to which revision.
IS_THERE = "select to_regclass('app.alembic_version') is not null"
STORED = "select version_num from app.alembic_version"


@cache
def newest_revision() -> str:
    """The revision that the last migration makes, with which the name of its file begins."""
    names = [file.name for file in files("migrations.versions").iterdir()]
    return max(name.partition("_")[0] for name in names if name[0].isdigit())
