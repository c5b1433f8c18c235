"""The files of the datasets as they are on the network: where, and their checksums.

References: the checksums of MNIST and smallNORB are those of TensorFlow Datasets; those of the
unpacked MNIST are of files that many have; dSprites' MD5 is the one that eight public loaders
check, since its authors published none.
"""

import hashlib
from dataclasses import dataclass
from io import BufferedIOBase

from polar.data import places


@dataclass(frozen=True)
class Published:
    """One file of a dataset."""

    #: Below the data folder.
    path: str
    #: Tried in this order.
    urls: tuple[str, ...]
    #: Of what the network gives: `sha256:` or `md5:`, and its digits.
    checksum: str
    #: Of what is inside of that, if it is stored unpacked; none if it is stored as it comes.
    unpacked: str | None = None

    @property
    def stored(self) -> str:
        """Checksum of the file in the data folder."""
        return self.unpacked or self.checksum


def checksum_like(expected: str, file: BufferedIOBase) -> str:
    """The checksum of a whole file, of the same kind as the expected one."""
    kind = expected.partition(":")[0]
    file.seek(0)
    return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_NORB = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_DSPRITES = (
    # of the commit that nothing has followed since 2017
    "https://github.com/google-deepmind/dsprites-dataset/raw/"
    "fa310c66517cfc1939d77fe17c725154efc97127/",
    "https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/",
)


def _mnist(name: str, packed: str, unpacked: str) -> Published:
    urls = tuple(f"{base}{name}.gz" for base in _MNIST)
    return Published(f"MNIST/raw/{name}", urls, f"sha256:{packed}", f"sha256:{unpacked}")


def _norb(part: str, kind: str, sha256: str) -> Published:
    name = f"{places.NORB_PARTS[part]}-{kind}.mat.gz"
    return Published(f"smallnorb/{name}", (f"{_NORB}{name}",), f"sha256:{sha256}")


#: By dataset; what ships with Polar's dependencies or is drawn by Polar is not fetched.
PUBLISHED: dict[str, tuple[Published, ...]] = {
    "mnist": (
        _mnist(
            "train-images-idx3-ubyte",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        _mnist(
            "train-labels-idx1-ubyte",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "smallnorb": (
        _norb("train", "dat", "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873"),
        _norb("train", "cat", "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa"),
        _norb("train", "info", "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32"),
        _norb("test", "dat", "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474"),
        _norb("test", "cat", "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff"),
        _norb("test", "info", "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2"),
    ),
    "dsprites": (
        Published(
            f"dsprites/{places.DSPRITES}",
            tuple(f"{base}{places.DSPRITES}" for base in _DSPRITES),
            "md5:7da33b31b13a06f4b04a70402ce90c2e",
        ),
    ),
}
