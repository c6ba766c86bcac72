"""Passwords and tokens, which no tag, parameter, artifact, log or message may contain."""

import os
import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
_USER_INFO = re.compile(
    r"(?P<scheme>[a-zA-Z][\w+.\-]*://)(?P<user>[^\s/?#:@]*):(?P<secret>[^\s/]+)@"
)
_IN_QUERY = re.compile(
    r"(?P<key>[?&;][\w.\-]*(?:password|passwd|pwd|token|secret|api_?key|signature|credential|sig)"
    r"[\w.\-]*=)(?P<secret>[^&;#\s'\"]+)",
    re.IGNORECASE,
)
_NAMED = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 4  # A shorter one is masked in a URI only: it would be part of ordinary words.


def masked(text: str) -> str:
    """The text with `***` in place of every password and token.

    Masked are the password before the `@` of a URI, values such as `token=` in its query, and,
    anywhere, the values of MLFLOW_TRACKING_PASSWORD, of MLFLOW_TRACKING_TOKEN and of the secrets in
    MLFLOW_TRACKING_URI.
    """
    text = _USER_INFO.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    text = _IN_QUERY.sub(rf"\g<key>{MASK}", text)
    for secret in _known():
        text = text.replace(secret, MASK)
    return text


def has_secret(uri: str) -> bool:
    """Whether a URI holds a password or a token."""
    return bool(_USER_INFO.search(uri) or _IN_QUERY.search(uri))


def without_credentials(uri: str) -> str:
    """An http address without user and password, which move into MLflow's own variables.

    MLflow puts the address into its errors, but never these variables.
    """
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    user_info, _, host = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    return parts._replace(netloc=host).geturl()


def _known() -> list[str]:
    """The secrets of the environment as they are and as a URI spells them, longest first."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    found = [os.environ.get(name, "") for name in _NAMED]
    for pattern in (_USER_INFO, _IN_QUERY):
        found += [unquote(match["secret"]) for match in pattern.finditer(uri)]
    spelled = {way(secret) for secret in found for way in (str, quote, quote_plus)}
    spelled |= {quote(secret, safe="") for secret in found}
    return sorted((each for each in spelled if len(each) >= _SHORTEST), key=len, reverse=True)
