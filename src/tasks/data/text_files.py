"""Reads text files, and identifies other file formats for error messages."""

import shlex
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from pathlib import Path

# UTF-32 comes first, because its little-endian byte order mark starts with that of UTF-16.
_ENCODINGS = {
    BOM_UTF32_LE: "utf-32",
    BOM_UTF32_BE: "utf-32",
    BOM_UTF16_LE: "utf-16",
    BOM_UTF16_BE: "utf-16",
}
_FORMATS = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"PK\x03\x04": "a zip archive",
    b"%PDF-": "a PDF file",
    b"\x89PNG": "a PNG image",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
}
_HEAD = 4096  # Number of bytes that identify the file format.
_WIDE = 0.3  # A fraction of NULs that suggests UTF-16; Latin letters have half.


def read_text(path: Path, option: str) -> str:
    """Reads a text file, normalizes line endings, and removes a byte order mark.

    Args:
        path: the file.
        option: name of the option, for messages.

    Raises:
        ValueError: if the file is empty, unreadable, or not UTF-8 text. The message says what the
            file seems to be, and how to convert it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{option}: expected a readable text file, got {path}: {error.strerror}."
        ) from error
    check_head(content, path, option)
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise not_utf8(path, option, error) from error
    if "\0" in text:
        raise ValueError(
            f"{option}: expected UTF-8 text, got a NUL character at byte {content.index(0)} of "
            f"{path}. Remove it."
        )
    if not text.strip():
        raise ValueError(f"{option}: expected text, got the empty file {path}.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_head(content: bytes, path: Path, option: str) -> None:
    """Checks that a file does not start like another format or encoding.

    Args:
        content: the file's content, or its beginning.
        path, option: for the message.

    Raises:
        ValueError: if it does; the message says what the file seems to be, and how to convert it.
    """
    for mark, encoding in _ENCODINGS.items():
        if content.startswith(mark):
            raise _encoded(path, option, encoding)
    for mark, name in _FORMATS.items():
        if content.startswith(mark):
            raise ValueError(
                f"{option}: expected UTF-8 text, got {name}, {path}. Unpack or export it as "
                "plain text first."
            )
    head = content[:_HEAD]
    if head.count(0) > _WIDE * len(head):
        low, high = head[::2].count(0), head[1::2].count(0)
        if min(low, high) < max(low, high) / 10:  # NULs are at even or odd bytes only.
            raise _encoded(path, option, "utf-16be" if low > high else "utf-16le")


def not_utf8(path: Path, option: str, error: UnicodeDecodeError) -> ValueError:
    """Returns the error for a file whose bytes are not UTF-8."""
    byte = error.object[error.start]
    head = error.object[:_HEAD]
    control = sum(each < 32 and each not in b"\t\n\f\r\x1b" for each in head)
    if control > len(head) / 50:
        return ValueError(
            f"{option}: expected UTF-8 text, got binary data in {path}. Remove what is not "
            "text, or use another file."
        )
    return ValueError(
        f"{option}: expected UTF-8 text, got an invalid byte {error.start} (hexadecimal "
        f"{byte:02x}) in {path}. Convert the file, for example: "
        f"{_conversion(path, 'latin1')}; or remove what is not text."
    )


def _encoded(path: Path, option: str, encoding: str) -> ValueError:
    return ValueError(
        f"{option}: expected UTF-8 text, got {encoding.upper()} in {path}. Convert it: "
        f"{_conversion(path, encoding)}"
    )


def _conversion(path: Path, encoding: str) -> str:
    return f"iconv -f {encoding} -t utf-8 {shlex.quote(path.name)} > converted.txt"
