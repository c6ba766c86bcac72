"""Reading text files, and saying what a file is that is not one."""

import shlex
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from pathlib import Path

# UTF-32's marks come first: the little-endian one begins with that of UTF-16.
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
    b"\x89PNG": "a picture",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
}
_HEAD = 4096  # Bytes that tell what a file is.
_WIDE = 0.3  # Fraction of NULs in a head of Latin letters in UTF-16; they are half of it.


def read_text(path: Path, option: str) -> str:
    """A file's text, its lines ended by a line feed, without a byte order mark.

    Args:
        path: the file.
        option: that named it, for messages.

    Raises:
        ValueError: if it is empty, cannot be read, or is not text in UTF-8; the message says what
            it seems to be instead, and how to convert it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{option}: expected a text file that can be read, got {path}: {error.strerror}."
        ) from error
    check_head(content, path, option)
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise not_utf8(path, option, error) from error
    if "\0" in text:
        raise ValueError(
            f"{option}: expected text in UTF-8, got a NUL, which no text has, as byte "
            f"{content.index(0)} of {path}. Remove what is not text."
        )
    if not text.strip():
        raise ValueError(f"{option}: expected a text, got the empty file {path}.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_head(content: bytes, path: Path, option: str) -> None:
    """Refuse a file whose first bytes are those of another format or encoding.

    Args:
        content: of the file, or its beginning.
        path, option: for the message.

    Raises:
        ValueError: with what the file seems to be, and the way to make text of it.
    """
    for mark, encoding in _ENCODINGS.items():
        if content.startswith(mark):
            raise _encoded(path, option, encoding)
    for mark, name in _FORMATS.items():
        if content.startswith(mark):
            raise ValueError(
                f"{option}: expected text in UTF-8, got {name}, {path}. Unpack or export it as "
                "plain text first."
            )
    head = content[:_HEAD]
    if head.count(0) > _WIDE * len(head):
        low, high = head[::2].count(0), head[1::2].count(0)
        if min(low, high) < max(low, high) / 10:  # All NULs are the same half of the characters.
            raise _encoded(path, option, "utf-16be" if low > high else "utf-16le")


def not_utf8(path: Path, option: str, error: UnicodeDecodeError) -> ValueError:
    """What to raise for bytes that are not UTF-8, of `path` which `option` names."""
    byte = error.object[error.start]
    head = error.object[:_HEAD]
    control = sum(each < 32 and each not in b"\t\n\f\r\x1b" for each in head)
    if control > len(head) / 50:
        return ValueError(
            f"{option}: expected text in UTF-8, got binary data in {path}. Remove what is "
            "not text, or name another file."
        )
    return ValueError(
        f"{option}: expected text in UTF-8, and byte {error.start} (hexadecimal {byte:02x}) of "
        f"{path} is none. Convert it, for example: {_converting(path, 'latin1')}; remove what "
        "is not text."
    )


def _encoded(path, option, encoding):
    return ValueError(
        f"{option}: expected text in UTF-8, got {encoding.upper()} in {path}. Convert it: "
        f"{_converting(path, encoding)}"
    )


def _converting(path, encoding):
    return f"iconv -f {encoding} -t utf-8 {shlex.quote(path.name)} > converted.txt"
