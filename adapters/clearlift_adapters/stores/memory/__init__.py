"""The database in plain dicts: the reference for every other store, and the one for simulations.

Several stores over one MemoryDatabase are several processes over one database. No method awaits
anything, so each is a transaction.
"""

from clearlift_adapters.stores.memory.archive import MemoryArchive
from clearlift_adapters.stores.memory.monitor import MemoryMonitor
from clearlift_adapters.stores.memory.notices import MemoryNotices
from clearlift_adapters.stores.memory.operation import (
    MemoryJournal,
    MemoryLeases,
    MemorySurvey,
    MemoryVault,
)
from clearlift_adapters.stores.memory.questions import MemoryQuestions
from clearlift_adapters.stores.memory.store import MemoryStore
from clearlift_adapters.stores.memory.tables import (
    ConnectionRow,
    JobTableRow,
    MemoryDatabase,
    SealRow,
)

__all__ = [
    "ConnectionRow",
    "JobTableRow",
    "MemoryArchive",
    "MemoryDatabase",
    "MemoryJournal",
    "MemoryLeases",
    "MemoryMonitor",
    "MemoryNotices",
    "MemoryQuestions",
    "MemoryStore",
    "MemorySurvey",
    "MemoryVault",
    "SealRow",
]
