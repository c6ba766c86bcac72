"""Data sets that are downloaded and prepared by tensorflow-datasets."""

import contextlib
import hashlib
import io
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unrolled.tasks.base.task import MissingDataError

_TIMEOUT_SECONDS = 10
_MAX_REASON_LENGTH = 200

_logger = logging.getLogger(__name__)


class PreparedSet:
    """A data set prepared by tensorflow-datasets.

    It is searched in the folder `TFDS_DATA_DIR`, or in `~/tensorflow_datasets`. tensorflow-datasets
    is imported only to download or read the data, which is unnecessary if they are cached.

    Args:
        dataset: name with its configuration, such as "imdb_reviews/plain_text".
        version: version of the data set.
        task: name of the task that uses the data, for messages.
        instead: a task that needs no download, for messages.
    """

    def __init__(self, dataset: str, version: str, task: str, instead: str) -> None:
        self.dataset, self.version = dataset, version
        self._task, self._instead = task, instead
        root = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        self.root = Path(root).expanduser().absolute()
        self.folder = self.root / dataset / version

    def prepare(self) -> None:
        """Downloads and prepares the data set if it is missing.

        Raises:
            MissingDataError: if the download fails.
        """
        if (self.folder / "dataset_info.json").is_file():
            return
        try:
            self._download()
        except Exception as error:  # From the network, the system or tensorflow-datasets.
            raise MissingDataError(
                f"The task {self._task} found no prepared data in {self.folder}, and downloading "
                f"them failed ({type(error).__name__}: {error}). Connect to the network and start "
                f"again, or set TFDS_DATA_DIR to a folder that contains "
                f"{self.dataset}/{self.version}. The task {self._instead} needs no download."
            ) from error

    def fingerprint(self) -> str:
        """Returns a hash of the prepared files."""
        content = hashlib.sha256()
        for path in sorted(filter(Path.is_file, self.folder.iterdir())):
            with path.open("rb") as file:
                content.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return content.hexdigest()

    def class_names(self, feature: str) -> list[str]:
        """Returns the class names of a feature, or of the elements of a sequence feature.

        Raises:
            MissingDataError: if the prepared files are damaged, incomplete or of another data set.
        """
        import tensorflow_datasets as tfds

        with self._readable():
            of_feature = tfds.builder_from_directory(self.folder).info.features[feature]
            return getattr(of_feature, "feature", of_feature).names

    def batches(
        self, split: str, size: int = 1000, *, ragged: bool = False, **options: Any
    ) -> list:
        """Returns all examples of a split, in the order of storage, as NumPy batches.

        Args:
            split: name of the split.
            size: number of examples per batch.
            ragged: whether features are sequences of different lengths; a batch then contains an
                array for each.
            **options: passed to `as_dataset` of tensorflow-datasets.

        Raises:
            MissingDataError: if the prepared files are damaged, incomplete or of another data set.
        """
        import tensorflow_datasets as tfds

        with self._readable():
            builder = tfds.builder_from_directory(self.folder)
            dataset = builder.as_dataset(split=split, shuffle_files=False, **options)
            # Reading examples one by one takes three times as long.
            batches = dataset.ragged_batch(size) if ragged else dataset.batch(size)
            return list(batches.as_numpy_iterator())

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # From TensorFlow, JSON or tensorflow-datasets.
            reason = " ".join(str(getattr(error, "message", error)).split())[:_MAX_REASON_LENGTH]
            raise MissingDataError(
                f"The task {self._task} cannot read the data in {self.folder}: a file is damaged "
                f"or missing ({type(error).__name__}: {reason}). Delete this folder and start "
                "again to download them, or set TFDS_DATA_DIR to a folder that contains "
                f"{self.dataset}/{self.version}."
            ) from error

    def _download(self) -> None:
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        builder = tfds.builder(f"{self.dataset}:{self.version}", data_dir=self.root)
        for url, about in builder.url_infos.items():
            _check_connection(url)
            _logger.warning("Downloading %s (%s) to %s, once.", self.dataset, about.size, self.root)
        # Otherwise a folder without dataset_info.json would count as prepared.
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(download_mode=mode)
            )


def _check_connection(url: str) -> None:
    """Fails within seconds without a network, where tensorflow-datasets would retry for minutes."""
    request = urllib.request.Request(url, method="HEAD")
    with contextlib.suppress(urllib.error.HTTPError):  # An error status is a response too.
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS).close()
