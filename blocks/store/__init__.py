"""What the fleet remembers: decisions, outcomes, reports, the journal of acts, and the series files."""

from blocks.store.journal import Journal
from blocks.store.records import Store

__all__ = ["Journal", "Store"]
