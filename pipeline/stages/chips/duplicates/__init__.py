"""Near-duplicates: chips of different scenes that are the same picture."""

from .pairs import near_duplicates

__all__ = ["near_duplicates"]
