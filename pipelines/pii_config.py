"""What the recipe says of PII."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import Section


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
    entities: tuple[str, ...] | None = None
    """Entities that are replaced; null: all that are found, but for those of `keep`."""
    keep: tuple[str, ...] = ("DATE_TIME", "URL")
    """Entities that are found but stay."""
    context: bool = True
    """Let words nearby ("phone", "passport") raise scores, as Presidio does over a full language model."""
    recognizers: Literal["presidio"] = "presidio"
    """What looks: `presidio` stands for exactly its default English pattern recognisers."""
    ner: Ner = Ner()

    @property
    def has_model(self) -> bool:
        """Whether a model is asked for names."""
        return self.enabled and self.ner.engine != "none"
