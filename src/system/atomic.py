"""Files that a reader finds either as they were or complete."""

from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file, which keeps its permissions, or create it.

    The content is written to a draft beside the file. So if the process is killed mid-write, the
    previous file survives, and a hard link to the file keeps the old content.
    """
    draft = path.with_name(f"{path.name}.draft")
    draft.write_bytes(content)
    if path.exists():
        draft.chmod(path.stat().st_mode)
    draft.replace(path)
