"""A published key is refused by its fingerprint, and never shown."""

from hashlib import sha256

import pytest

from clearlift_adapters.published import FINGERPRINTS, refuse_published
from clearlift_engine.errors import ConfigurationError
from tests.cli.program import KEY


def test_published_key_is_refused_with_what_to_do_and_is_not_shown() -> None:
    published = {sha256(KEY.encode()).hexdigest()}

    with pytest.raises(ConfigurationError, match="openssl rand -base64 32") as refused:
        refuse_published(f"{KEY}\n", published)

    assert KEY not in str(refused.value)


def test_any_other_key_is_accepted() -> None:
    refuse_published(KEY)

    assert [len(each) for each in FINGERPRINTS] == [64]
