"""Passwords and tokens, which nothing that is stored or shown may contain.

The rule has two halves:

- A command line or configuration with a URI that contains a secret is refused before anything is
  stored (`store.refuse_secrets`). What programs read back (records, reports, tables, other
  artifacts, and most tags and parameters) is therefore stored as it is: replacing text in it would
  corrupt it wherever a password happens to be part of a number or a path.
- Text for people, into which a library may have put a URI of the environment, is masked: errors,
  logs, descriptions, the tags `error` and `overrides` and the parameter `tracking.uri`.
"""

import os
import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
# As in SQLAlchemy, a user may contain "@", and a password "/" and spaces. The numbers of
# http://host:5000/ and of any://host:5000 are ports, not passwords.
_USER_INFO = re.compile(
    r"(?<![\w+.\-])(?!https?://[^\s/:]*:\d+[/?#])"
    r"(?P<before>[a-zA-Z][\w+.\-]*://[^\s/:'\"]*:)(?!\d+(?:[\s'\"]|$))"
    r"(?P<secret>[^@\n]+(?:@[^\s/@]+)*)(?=@)"
)
# A server's user without a password is taken for a token.
_TOKEN_AS_USER = re.compile(r"(?<![\w+.\-])(?P<before>https?://)(?P<secret>[^\s/?#:@'\"]+)(?=@)")
_IN_QUERY = re.compile(
    r"(?P<before>[?&;][\w.\-]*(?:pass(?=[=_.\-])|password|passwd|passphrase|pwd|token|secret|auth|"
    r"api_?key|signature|credential|sig)[\w.\-]*=)(?P<secret>[^&;#\s'\"]+)",
    re.IGNORECASE,
)
_PATTERNS = (_USER_INFO, _TOKEN_AS_USER, _IN_QUERY)
_NAMED = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 4  # A shorter one is masked in a URI only: it would be part of ordinary words.
_LONG = 8  # A shorter one is masked only as a whole word: "test" is part of "latest".


def masked(text: str) -> str:
    """The text, which is for people, with `***` in place of every password and token.

    Masked are the password before the `@` of a URI, values such as `token=` in its query, and,
    anywhere, the values of MLFLOW_TRACKING_PASSWORD, of MLFLOW_TRACKING_TOKEN and of the secrets in
    MLFLOW_TRACKING_URI.
    """
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<before>{MASK}", text)
    for secret in _known():
        exactly = re.escape(secret)
        text = re.sub(exactly if len(secret) >= _LONG else rf"(?<!\w){exactly}(?!\w)", MASK, text)
    return text


def has_secret(uri: str) -> bool:
    """Whether a URI, or a text with one, contains a password or a token."""
    return any(pattern.search(uri) for pattern in _PATTERNS)


def without_credentials(uri: str) -> str:
    """An http address without user and password, which move into MLflow's own variables.

    MLflow puts the address into its errors, but never these variables.
    """
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    user_info, _, host = parts.netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
    if colon:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    return parts._replace(netloc=host).geturl()


def _known() -> list[str]:
    """The secrets of the environment as they are and as a URI spells them, longest first."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    found = [os.environ.get(name, "") for name in _NAMED]
    for pattern in _PATTERNS:
        found += [unquote(match["secret"]) for match in pattern.finditer(uri)]
    spelled = {way(secret) for secret in found for way in (str, quote, quote_plus)}
    spelled |= {quote(secret, safe="") for secret in found}
    return sorted((each for each in spelled if len(each) >= _SHORTEST), key=len, reverse=True)
