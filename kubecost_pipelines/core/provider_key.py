"""ProviderKey: which bill, as Kubecost names it."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Provider = Literal["aws", "gcp", "azure"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)


@dataclass(frozen=True, order=True)
class ProviderKey:
    """A provider with its AWS account id, GCP project id or Azure subscription id.

    The id is kept as the provider writes it; `slug` is for the names in which Dagster forbids hyphens.
    """

    provider: Provider
    id: str

    @property
    def parts(self) -> tuple[str, str]:
        return self.provider, self.id

    @property
    def slug(self) -> str:
        return slug_of(f"{self.provider}_{self.id}")

    def __str__(self) -> str:
        return f"{self.provider}/{self.id}"


def slug_of(text: str) -> str:
    """Return `text` as Dagster accepts it for a group, a pool, a sensor or a job."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)
