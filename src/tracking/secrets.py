"""Passwords and tokens, which must not appear in anything that is stored or displayed.

There are two rules:

- A command line or configuration with a URI that contains a secret is rejected before anything is
  stored (`store.refuse_secrets`). Data that programs read back (records, reports, tables, other
  artifacts, and most tags and parameters) are therefore stored unchanged: masking would corrupt
  them if a password happened to be part of a number or a path.
- Text for people is masked, because a library may include a URI of the environment in it: errors,
  logs, descriptions, the tags `error` and `overrides`, and the parameter `tracking.uri`.
"""

import os
import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
# As in SQLAlchemy, a user name may contain "@", and a password "/" and spaces. The numbers in
# http://host:5000/ and any://host:5000 are ports, not passwords.
_USER_INFO = re.compile(
    r"(?<![\w+.\-])(?!https?://[^\s/:]*:\d+[/?#])"
    r"(?P<before>[a-zA-Z][\w+.\-]*://[^\s/:'\"]*:)(?!\d+(?:[\s'\"]|$))"
    r"(?P<secret>[^@\n]+(?:@[^\s/@]+)*)(?=@)"
)
# A user name without a password may be a token.
_TOKEN_AS_USER = re.compile(r"(?<![\w+.\-])(?P<before>https?://)(?P<secret>[^\s/?#:@'\"]+)(?=@)")
_IN_QUERY = re.compile(
    r"(?P<before>[?&;][\w.\-]*(?:pass(?=[=_.\-])|password|passwd|passphrase|pwd|token|secret|auth|"
    r"api_?key|signature|credential|sig)[\w.\-]*=)(?P<secret>[^&;#\s'\"]+)",
    re.IGNORECASE,
)
_PATTERNS = (_USER_INFO, _TOKEN_AS_USER, _IN_QUERY)
_NAMED = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 4  # Shorter secrets are masked in URIs only, because ordinary words contain them.
_LONG = 8  # Shorter secrets are masked only as a whole word: "test" is part of "latest".


def masked(text: str) -> str:
    """Returns text for people, with `***` in place of every password and token.

    This includes the password before the `@` of a URI, values such as `token=` in its query and,
    anywhere, the values of MLFLOW_TRACKING_PASSWORD, of MLFLOW_TRACKING_TOKEN and of the secrets in
    MLFLOW_TRACKING_URI.
    """
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<before>{MASK}", text)
    for secret in _known_secrets():
        exactly = re.escape(secret)
        text = re.sub(exactly if len(secret) >= _LONG else rf"(?<!\w){exactly}(?!\w)", MASK, text)
    return text


def has_secret(uri: str) -> bool:
    """Whether a URI, or a text that contains one, includes a password or a token."""
    return any(pattern.search(uri) for pattern in _PATTERNS)


def without_credentials(uri: str) -> str:
    """Returns an http address without user and password, which are moved to MLflow's variables.

    MLflow includes the address in its error messages, but never these variables.
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


def _known_secrets() -> list[str]:
    """Returns the secrets of the environment, also percent-encoded, longest first."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    found = [os.environ.get(name, "") for name in _NAMED]
    for pattern in _PATTERNS:
        found += [unquote(match["secret"]) for match in pattern.finditer(uri)]
    encoded = {encode(secret) for secret in found for encode in (str, quote, quote_plus)}
    encoded |= {quote(secret, safe="") for secret in found}
    return sorted((each for each in encoded if len(each) >= _SHORTEST), key=len, reverse=True)
