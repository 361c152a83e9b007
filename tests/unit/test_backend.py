"""Which URLs are opened, and which are refused before anything is sent."""

import pytest

from clearlift_adapters.backend import Cloudflare, open_backend
from clearlift_adapters.clock import FixedClock
from clearlift_engine.errors import ConfigurationError


@pytest.mark.parametrize("base_url", ["http://192.0.2.2/client/v4", "ftp://localhost", "cloud"])
async def test_the_api_token_goes_over_https_or_stays_on_this_machine(base_url: str) -> None:
    cloudflare = Cloudflare("api-token-canary", base_url, FixedClock())

    with pytest.raises(ConfigurationError, match="CLOUDFLARE_API_BASE_URL is") as caught:
        async with open_backend("d1://account/database", cloudflare=cloudflare):
            pass

    assert "canary" not in str(caught.value)


async def test_without_a_token_nothing_is_opened() -> None:
    cloudflare = Cloudflare(None, "https://cloudflare.example", FixedClock())

    with pytest.raises(ConfigurationError, match="CLOUDFLARE_API_TOKEN is not set"):
        async with open_backend("d1://account/database", cloudflare=cloudflare):
            pass
