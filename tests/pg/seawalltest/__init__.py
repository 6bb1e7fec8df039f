"""Real PostgreSQL, real Seawall, and the ledger that knows what must come back."""

from .cluster import Cluster
from .ledger import Ledger, Mark, Target
from .seawall import Result, Seawall
from .wait import wait_for

__all__ = ["Cluster", "Ledger", "Mark", "Result", "Seawall", "Target", "wait_for"]
