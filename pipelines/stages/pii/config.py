"""What the recipe says of PII."""

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from headrace.cluster.errors import RecipeError
from headrace.pipelines.section import Section, hint
from headrace.pipelines.stages.pii.presidio.recognizer_names import LOCALES, PRESIDIO
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS, STEPS

Kind = Literal["tag", "mask", "redact", "hash", "surrogate", "keep"]
KEPT: dict[str, Kind] = {"DATE_TIME": "keep", "URL": "keep"}
LEAST = {"PERSON": 5, "LOCATION": 5, "OTHER": 6}
KEYED = ("hash", "surrogate")
KEY_LENGTH = 16  # characters; a shorter one can be tried out
KEY_VARIETY = 6  # of them that differ


class Ner(Section):
    """The model that finds names."""

    engine: Literal["spacy", "transformers", "none"] = "none"
    """What finds names of people and places, through Presidio. `none`: words around them alone."""
    model: str | None = None
    """spacy: an installed package (`en_core_web_lg`) or a directory; transformers: a directory, local or
    s3://, or a hub name. A directory has to be readable from every node. Weights as safetensors only."""
    labels: dict[str, str] = Field({})
    """The model's labels to entities, beside those that Presidio knows: `{PRODUCT: ORGANIZATION}`. Labels
    that are in neither are left alone."""
    ignore: tuple[str, ...] = ()
    """Labels or entities that are not taken from the model."""
    doubtful: tuple[str, ...] = ("ORGANIZATION", "ID")
    """Entities that models often get wrong: their score is multiplied by 0.4, as Presidio does it, so that
    they are found but, at the usual `pii.threshold`, stay."""
    batch: int = Field(default=32, ge=1)
    """Most texts that the model is given at once."""
    actors: int = Field(default=1, ge=1)
    """Processes that hold the model. Changes nothing in the output."""
    gpus: float = Field(default=0, ge=0, le=1)
    """Share of a GPU that each of them holds; 0: a CPU."""

    @model_validator(mode="after")
    def _model_and_engine(self) -> Self:
        if (self.engine == "none") != (self.model is None):
            raise ValueError("engine and model go together: name both, or neither to have no model")
        return self


class Config(Section):
    """What is looked for and what is replaced."""

    enabled: bool = True
    """Look for PII at all; without it rows pass as they are."""
    threshold: float = Field(default=0.4, ge=0, le=1)
    """Lowest score that is replaced."""
    kind: Kind = "tag"
    """What stands for a value. tag: `<PERSON_1>`, numbered within a conversation; mask: a `*` for each
    letter and digit; redact: nothing; hash: `<PERSON_...>` with a keyed hash, the same in all rows;
    surrogate: a made-up value of the same form, the same in all rows; keep: the value itself."""
    kinds: dict[str, Kind] = Field(default_factory=lambda: dict(KEPT))
    """Kind by entity, where it is not `kind`. DATE_TIME and URL are kept unless they are named here."""
    roles: dict[str, Kind | dict[str, Kind]] = Field(default_factory=dict)
    """Kind by role (`system`, `user`, `assistant`, `tool`, `text`, `rejected`: as assistants where it is not
    named, and `meta` for columns beside the text):
    one for all entities that `kinds` does not name, or one by entity; `keep` exempts the role."""
    entities: tuple[str, ...] | None = None
    """Entities that are replaced; null: all that are found, but for those that are kept."""
    least: dict[str, int] = Field(default_factory=lambda: dict(LEAST))
    """Letters and digits that a value must have to be replaced wherever its conversation says it again, by
    entity (OTHER: all others), in any letter case and spacing. One fewer does in the same letter case."""
    json_numbers: Literal["string", "zero", "null"] = "string"
    """What stands for a number of JSON, so that it stays JSON. string: the stand-in in quotes
    (`{"phone": "<PHONE_NUMBER_1>"}`); zero: 0; null: null. A surrogate is a number itself."""
    key: str = "HEADRACE_PII_KEY"
    """Environment variable with the secret of `hash` and `surrogate`, 16 characters or more."""
    gate: Literal["fail", "warn", "off"] = "fail"
    """What happens when PII is found in the packed token shards: exit 3, a warning, or nobody looks."""
    context: bool = True
    """Let words nearby ("phone", "passport") raise scores, as Presidio does over a full language model."""
    recognizers: Literal["all", "presidio"] = "all"
    """What looks: `all` is Presidio's default English pattern recognisers, ours, and the steps that resolve
    overlaps; `presidio` exactly the former."""
    without: tuple[str, ...] = ()
    """Recognisers that do not look, as they stand in the column `recognizer` (`PhoneRecognizer`,
    `greetings`), and steps that are not taken: `overlaps`, `dress`, `code`, `times`, `references`,
    `sums`, `domains`, `licences`."""
    locales: tuple[str, ...] = ()
    """Countries whose identifiers are looked for too, by Presidio's own recognisers: `de`, `in`, `it`."""
    ner: Ner = Ner()

    # Read where the recipe is, carried to the workers inside the config, never written.
    _secret: bytes | None = PrivateAttr(default=None)

    @field_validator("without")
    @classmethod
    def _known_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [*(one.name for one in RECOGNIZERS), *STEPS, *PRESIDIO, *sum(LOCALES.values(), ())]
        return _known(value, names, "recogniser")

    @field_validator("locales")
    @classmethod
    def _known_locales(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, LOCALES, "locale")

    @field_validator("kinds")
    @classmethod
    def _keep_what_is_not_named(cls, kinds: dict[str, Kind]) -> dict[str, Kind]:
        return {**KEPT, **kinds}

    @field_validator("least")
    @classmethod
    def _fill_least(cls, least: dict[str, int]) -> dict[str, int]:
        return {**LEAST, **least}

    @field_validator("roles")
    @classmethod
    def _know_roles(cls, roles: dict[str, Any]) -> dict[str, Any]:
        from headrace.pipelines.schema import ROLES

        for role in roles:
            if role not in (*ROLES, "meta"):
                raise ValueError(f"{role!r} is no role; roles are {', '.join(ROLES)} and meta")
        return roles

    def model_post_init(self, context: object) -> None:
        """Take the secret from the environment."""
        self._secret = os.fsencode(os.environ.get(self.key, "")) or None

    @property
    def secret(self) -> bytes | None:
        """The secret of `hash` and `surrogate`; None where there is none."""
        return self._secret

    @property
    def secret_digest(self) -> str:
        """Tells one secret from another, and nothing else of it."""
        raw = self._secret or b""
        return hmac.new(raw, b"headrace", hashlib.sha256).hexdigest()[:8] if raw else ""

    def of_role(self, role: str) -> Kind | dict[str, Kind] | None:
        """What `roles` says of a role; a rejected answer is an assistant's, unless it is named."""
        return self.roles.get(role, self.roles.get("assistant") if role == "rejected" else None)

    def kind_of(self, entity: str, role: str) -> Kind:
        """What becomes of a value of `entity` in a message of `role`."""
        by_role = self.of_role(role)
        if by_role == "keep" or (self.entities is not None and entity not in self.entities):
            return "keep"
        if isinstance(by_role, Mapping) and entity in by_role:
            return by_role[entity]
        if entity in self.kinds:
            return self.kinds[entity]
        return by_role if isinstance(by_role, str) else self.kind

    def least_of(self, entity: str) -> int:
        """Letters and digits from which a value of `entity` is replaced wherever it is said again."""
        return self.least.get(entity, self.least["OTHER"])

    def require_key(self) -> None:
        """Raises: RecipeError where a kind needs the secret and there is none, or one that can be guessed."""
        kinds = {self.kind, *self.kinds.values()}
        for by_role in self.roles.values():
            kinds |= set(by_role.values()) if isinstance(by_role, Mapping) else {by_role}
        asked = sorted(kinds & set(KEYED))
        if not self.enabled or not (asked or self._secret):
            return
        secret = self._secret or b""
        if len(secret) >= KEY_LENGTH and len(set(secret)) >= KEY_VARIETY:
            return
        need = f"{' and '.join(asked)} need a secret, and " if asked else ""
        state = "can be guessed" if secret else "is not set"
        raise RecipeError(
            f"pii: {need}the environment variable {self.key} {state}; set it to {KEY_LENGTH} or more random "
            "characters, the same for every run that shall agree"
        )

    @property
    def named(self) -> dict[str, set[str]]:
        """Entities that the recipe names, by key, beyond the defaults."""
        by_role = {f"roles.{r}": set(k) for r, k in self.roles.items() if isinstance(k, Mapping)}
        found = {"entities": set(self.entities or ()), "kinds": self.kinds.keys() - KEPT.keys()}
        return {**found, "least": self.least.keys() - LEAST.keys(), **by_role}

    @property
    def has_model(self) -> bool:
        """Whether a model is asked for names."""
        return self.enabled and self.ner.engine != "none"


def _known(value: tuple[str, ...], names: Iterable[str], what: str) -> tuple[str, ...]:
    """`value`, all of whose items are in `names`. Raises: ValueError with the nearest name or all of them."""
    known = set(names)
    for one in value:
        if one not in known:
            raise ValueError(f"unknown {what} {one!r}; {hint(one, known)}")
    return value
