"""TikTok's words: those of RFC 6749, often inside an HTTP 200, and a few of its API's own.

developers.tiktok.com/doc/oauth-error-handling and /doc/tiktok-api-v2-error-handling list them.
"""

from typing import Final

from clearlift_adapters.oauth import rfc6749

explain: Final = rfc6749.by_table(
    {
        **rfc6749.RULES,
        "access_token_invalid": rfc6749.RULES["invalid_token"],
        "scope_not_authorized": rfc6749.RULES["invalid_scope"],
        "scope_permission_missed": rfc6749.RULES["invalid_scope"],
    }
)
