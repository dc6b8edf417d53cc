"""The config of `evaluate.judge`, apart from its code."""

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from headrace.pipelines.section import Section

CRITERIA = (
    "the better answer does what was asked, rightly and completely, in the form that was asked for, and adds "
    "nothing to it"
)


# Ends of names that only a network of one's own knows, as it alone knows those without a dot.
INSIDE = (".svc", ".cluster.local", ".local", ".internal", ".lan", ".localhost")


class Judge(Section):
    """A model that says of pairs of answers, base and tuned, which one is better: each pair twice, with the
    answers exchanged. Prompts, references and answers are SENT to its endpoint.
    """

    endpoint: str
    """URL of an OpenAI-compatible API, such as http://127.0.0.1:8000/v1: held-out rows' texts, masked as
    packed/ has them, with reference and answers, are SENT there."""
    model: str = Field(min_length=1)
    """Its name there."""
    key_env: str | None = None
    """Environment variable that holds the API key, which is written nowhere, and sent over plain http
    in a network of one's own alone. Left out: no key is sent."""
    criteria: str = CRITERIA
    """What makes one answer better than another, in words for the judge."""
    samples: int = Field(100, ge=1)
    """Most pairs, drawn at random by the recipe's seed; answers that are the same are not sent."""
    temperature: float | None = Field(0.0, ge=0)
    """Of the judge's words; null: not sent, for models that refuse it."""
    timeout: float = Field(60, gt=0)
    """Seconds to wait for one reply."""
    most_at_once: int = Field(4, ge=1)
    """Requests at once."""

    @field_validator("endpoint")
    @classmethod
    def _plain(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no URL; write http://HOST:PORT/v1, or https://")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("holds more than a place; a key belongs into the variable that key_env names")
        return value.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError("is no name of an environment variable (and a key itself has no place here)")
        return value

    @model_validator(mode="after")
    def _closed(self) -> "Judge":
        parts = urlsplit(self.endpoint)
        if self.key_env is not None and parts.scheme == "http" and not _is_inside(parts.hostname or ""):
            raise ValueError(
                "endpoint is http, so that the key of key_env could be read on the way; write https://"
            )
        return self


def _is_inside(host: str) -> bool:
    """Whether a host is of one's own network."""
    try:
        return ipaddress.ip_address(host).is_private  # loopback, too
    except ValueError:
        return "." not in host or host.endswith(INSIDE)
