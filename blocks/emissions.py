"""What a cloud says that its services emitted for us."""

from __future__ import annotations

from dataclasses import dataclass

Place = tuple[str, str]  # provider (aws, gcp) and region


@dataclass(frozen=True)
class CloudEmissions:
    """One month of one region, [begin, end) epoch seconds; scopes 1 to 3 together, g CO2e, by location and by market.

    region: "" where it does not say. version: of the provider's model. source: the file or API.
    """

    provider: str
    region: str
    begin_s: int
    end_s: int
    location_g: float
    market_g: float
    version: str
    source: str

    @property
    def place(self) -> Place:
        """Provider and region."""
        return self.provider, self.region
