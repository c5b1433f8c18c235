import re

import pytest

from polar.spec.datasets import DATASETS
from polar.spec.sources import Downloaded, SourceFile

DOWNLOADED = {
    f"{name} {file.names[0]}": file
    for name, kind in DATASETS.items()
    if isinstance(kind.source, Downloaded)
    for file in kind.source.files
}


@pytest.mark.parametrize("file", DOWNLOADED.values(), ids=DOWNLOADED.keys())
def test_a_file_to_fetch_has_addresses_and_checksums_that_can_be_checked(file: SourceFile) -> None:
    checksum = re.compile("sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")

    assert file.urls
    assert all(url.startswith(("https://", "http://")) for url in file.urls)
    assert checksum.fullmatch(file.checksum)
    assert file.unpacked is None or checksum.fullmatch(file.unpacked)


@pytest.mark.parametrize("file", DOWNLOADED.values(), ids=DOWNLOADED.keys())
def test_a_file_is_searched_in_the_data_folder_itself_after_all_others(file: SourceFile) -> None:
    assert file.folders[-1] == "."
    assert file.folders.count(".") == 1
    assert file.names


def test_the_files_of_a_dataset_have_names_of_their_own() -> None:
    assert len(DOWNLOADED) == sum(
        len(kind.source.files) for kind in DATASETS.values() if isinstance(kind.source, Downloaded)
    )
