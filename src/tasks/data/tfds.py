"""Data sets that tensorflow-datasets downloads and prepares, once."""

import contextlib
import hashlib
import io
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path

from unrolled.tasks.base.task import MissingDataError

_SECONDS_TO_ANSWER = 10
_LONGEST_REASON = 200

_logger = logging.getLogger(__name__)


class PreparedSet:
    """A data set as tensorflow-datasets prepared it.

    It is looked for in the folder that `TFDS_DATA_DIR` names, or in `~/tensorflow_datasets`.
    tensorflow-datasets itself is imported only to download or read it, as a start that finds
    everything in a cache does neither.

    Args:
        dataset: its name with its configuration, as in "imdb_reviews/plain_text".
        version: of it.
        task: whose data these are, for messages.
        instead: the task to name to whoever cannot download.
    """

    def __init__(self, dataset: str, version: str, task: str, instead: str):
        self.dataset, self.version = dataset, version
        self._task, self._instead = task, instead
        root = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        self.root = Path(root).expanduser().absolute()
        self.folder = self.root / dataset / version

    def prepare(self) -> None:
        """Download it if it is not there.

        Raises:
            MissingDataError: if it cannot be downloaded.
        """
        if (self.folder / "dataset_info.json").is_file():
            return
        try:
            self._download()
        except Exception as error:  # The network's, the system's and tensorflow-datasets' own.
            raise MissingDataError(
                f"The task {self._task} found no prepared data in {self.folder}, and downloading "
                f"them failed ({type(error).__name__}: {error}). Connect to the network and start "
                f"again, or set TFDS_DATA_DIR to a folder that has {self.dataset}/{self.version} "
                f"in it. The task {self._instead} needs no download."
            ) from error

    def fingerprint(self) -> str:
        """A hash of the prepared files."""
        content = hashlib.sha256()
        for path in sorted(filter(Path.is_file, self.folder.iterdir())):
            with path.open("rb") as file:
                content.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return content.hexdigest()

    def class_names(self, feature: str) -> list[str]:
        """The names of a feature's classes, by number; of a sequence of classes, its classes'.

        Raises:
            MissingDataError: if the prepared files are damaged, not all there or of other data.
        """
        import tensorflow_datasets as tfds

        with self._readable():
            of_feature = tfds.builder_from_directory(self.folder).info.features[feature]
            return getattr(of_feature, "feature", of_feature).names

    def batches(self, split: str, size: int = 1000, *, ragged: bool = False, **options) -> list:
        """All examples of a split, in the order in which they are stored, as NumPy batches.

        Args:
            split: its name.
            size: examples in a batch.
            ragged: whether features are sequences of many lengths; a batch has an array of each.
            **options: of tensorflow-datasets' `as_dataset`.

        Raises:
            MissingDataError: if the prepared files are damaged, not all there or of other data.
        """
        import tensorflow_datasets as tfds

        with self._readable():
            builder = tfds.builder_from_directory(self.folder)
            dataset = builder.as_dataset(split=split, shuffle_files=False, **options)
            # One by one takes three times as long.
            batches = dataset.ragged_batch(size) if ragged else dataset.batch(size)
            return list(batches.as_numpy_iterator())

    @contextlib.contextmanager
    def _readable(self):
        try:
            yield
        except Exception as error:  # TensorFlow's, JSON's and tensorflow-datasets' own.
            said = " ".join(str(getattr(error, "message", error)).split())[:_LONGEST_REASON]
            raise MissingDataError(
                f"The task {self._task} cannot read the data in {self.folder}: a file is damaged "
                f"or not there ({type(error).__name__}: {said}). Delete this folder and start "
                "again to download them, or set TFDS_DATA_DIR to a folder that has "
                f"{self.dataset}/{self.version} in it."
            ) from error

    def _download(self) -> None:
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        builder = tfds.builder(f"{self.dataset}:{self.version}", data_dir=self.root)
        for url, about in builder.url_infos.items():
            _require_answer(url)
            _logger.warning("Downloading %s (%s) to %s, once.", self.dataset, about.size, self.root)
        # A folder that was left without dataset_info.json would otherwise pass for prepared.
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(download_mode=mode)
            )


def _require_answer(url: str) -> None:
    """Fail within seconds where there is no network; tensorflow-datasets retries for minutes."""
    request = urllib.request.Request(url, method="HEAD")
    with contextlib.suppress(urllib.error.HTTPError):  # A refusal is an answer as well.
        urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER).close()
