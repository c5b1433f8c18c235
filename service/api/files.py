"""Answers that send files of the artifact folder."""

from pathlib import Path

from fastapi.responses import FileResponse

from service.storage.errors import NotFound

KINDS = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
}


def file_response(artifacts: Path, name: str) -> FileResponse:
    """Answer that sends the file of this name in the artifact folder.

    Raises:
        NotFound: there is no such file.
    """
    path = artifacts / name
    if not path.is_file():
        raise NotFound("file in the artifact folder named", name)
    return FileResponse(
        path,
        media_type=KINDS.get(path.suffix, "application/octet-stream"),
        filename=path.name,
        content_disposition_type="inline",
    )
