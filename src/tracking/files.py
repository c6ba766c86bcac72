"""A folder of a run's artifacts whose files are replaced and deleted."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from unrolled.tracking.patience import PatientClient, patience

_log = logging.getLogger(__name__)


class Files:
    """The files of one folder of a run's artifacts.

    Args:
        run_id: MLflow's id of the run.
        folder: path of the folder in the run's artifacts; it need not exist.
    """

    def __init__(self, run_id: str, folder: str) -> None:
        self._run_id = run_id
        self._folder = folder
        self._client = PatientClient()

    def names(self) -> list[str]:
        """Returns the names of the files."""
        found = self._client.list_artifacts(self._run_id, self._folder)
        return [Path(each.path).name for each in found if not each.is_dir]

    def upload(self, path: Path) -> None:
        """Stores a file under its name."""
        self._client.log_artifact(self._run_id, str(path), self._folder)

    def write(self, name: str, text: str) -> None:
        """Stores a text as a file, and replaces an earlier one."""
        self._client.log_text(self._run_id, text, f"{self._folder}/{name}")

    def read(self, name: str) -> str:
        """Returns the text of a file."""
        with tempfile.TemporaryDirectory() as directory:
            return self.download(name, Path(directory)).read_text(encoding="utf-8")

    def download(self, name: str, directory: Path) -> Path:
        """Downloads a file into a local folder, and returns its path."""
        download = self._repository().download_artifacts
        return Path(patience.call(download, f"{self._folder}/{name}", str(directory)))

    def delete(self, names: Sequence[str]) -> None:
        """Deletes files. They stay, with a warning in the log, in a store that does not allow that.

        Raises:
            StoreError: if the store does not respond.
        """
        if not names:
            return
        repository = self._repository()
        for name in names:
            try:
                patience.call(repository.delete_artifacts, f"{self._folder}/{name}")
            except (MlflowException, NotImplementedError, requests.HTTPError) as error:
                _log.warning("%s/%s stays in the store: %s", self._folder, name, error)

    def _repository(self) -> ArtifactRepository:
        run = self._client.get_run(self._run_id)
        return get_artifact_repository(run.info.artifact_uri)
