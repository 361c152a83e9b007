"""Keys that stand in a document for everybody to read: with one of them nothing is secret.

Only their fingerprints are here. As a previous key one is accepted: that is how one gets rid of it.
"""

from collections.abc import Collection
from hashlib import sha256
from typing import Final

from clearlift_engine.errors import ConfigurationError

# SHA-256 of the key as it is written, in base64.
FINGERPRINTS: Final = frozenset(
    {"5224022ed3beaa9628e8fc132d6aa6ee27f347cdfc5fe7311a38becf64977833"}
)


def refuse_published(key: str, fingerprints: Collection[str] = FINGERPRINTS) -> None:
    """Raise ConfigurationError if `key`, in base64, is one that has been published."""
    if sha256(key.strip().encode()).hexdigest() in fingerprints:
        raise ConfigurationError(
            "ENCRYPTION_KEY is a key that was published: whoever has read it opens every token; "
            "make a new one (openssl rand -base64 32) for the API worker and here, set this one as "
            "ENCRYPTION_KEY_PREVIOUS, and run `clearlift-cron keys rotate`"
        )
