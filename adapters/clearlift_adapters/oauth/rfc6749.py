"""The words of RFC 6749 §5.2, and those that well-known servers use in their place.

Whose fault an error is follows from what differs between two connections of one provider: only the
refresh token. So a code that can be caused by the token alone is about this grant, even if RFC 6749
words it about the client, and a code that no token can cause is about our configuration.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from clearlift_adapters.oauth.verdicts import Body, Explain, Finding, words
from clearlift_adapters.oauth.wire import Answer

_DEAD: Final = Finding("permanent", "says the grant is revoked or expired")
_SIGN_IN: Final = Finding("permanent", "wants the user to sign in again")
_DENIED: Final = Finding("permanent", "says that access was denied")
# We ask for no scope unless one is configured, and then it must be among those granted (§6): either
# way it is this grant that lacks it.
_SCOPE: Final = Finding("permanent", "says the grant lacks a scope")
_CLIENT: Final = Finding("configuration", "does not accept our client credentials")
_NO_REFRESH: Final = Finding("configuration", "does not let our client refresh tokens")
_FAILING: Final = Finding("transient", "is failing", ambiguous=True)
_BUSY: Final = Finding("throttled", "asks for fewer requests")

RULES: Final[Mapping[str, Finding]] = {  # By code, in lower case.
    "invalid_grant": _DEAD,
    "bad_refresh_token": _DEAD,  # GitHub, HubSpot.
    "invalid_refresh_token": _DEAD,  # Slack.
    "invalid_token": _DEAD,  # RFC 6750 §3.1, about any token.
    "expired_token": _DEAD,
    "token_expired": _DEAD,
    "token_revoked": _DEAD,
    "account_inactive": _DEAD,  # Slack: the user or the workspace is gone.
    "interaction_required": _SIGN_IN,  # OpenID Connect Core §3.1.2.6; Microsoft at this endpoint.
    "login_required": _SIGN_IN,
    "consent_required": _SIGN_IN,
    "access_denied": _DENIED,
    "invalid_scope": _SCOPE,
    "invalid_client": _CLIENT,
    "invalid_client_id": _CLIENT,  # Slack, as is the next.
    "bad_client_secret": _CLIENT,
    "incorrect_client_credentials": _CLIENT,  # GitHub.
    "unauthorized_client": _NO_REFRESH,
    "unsupported_grant_type": _NO_REFRESH,
    "server_error": _FAILING,
    "temporarily_unavailable": _FAILING,
    "internal_error": _FAILING,  # Slack and TikTok.
    "fatal_error": _FAILING,  # Slack.
    "slow_down": _BUSY,
    "ratelimited": _BUSY,  # Slack.
    "rate_limited": _BUSY,
    "rate_limit_exceeded": _BUSY,
    "too_many_requests": _BUSY,
}

# invalid_request says that the form is wrong (§5.2), which is ours, but DeviantArt, xee and older
# better-auth and FlowFuse answer a dead token with it. Where it does not tell, nobody is blamed.
_OF_THE_GRANT: Final = (
    r"(?i)refresh[ _-]?token.*\b(invalid|expired|revoked|unknown|not found|not valid)"
    r"|\b(invalid|expired|revoked|unknown) refresh[ _-]?token"
)
_OF_THE_CLIENT: Final = r"(?i)client[ _-]?(id|key|secret|credentials)|grant[ _-]?type"


def by_table(rules: Mapping[str, Finding]) -> Explain:
    """Return the reader of error bodies that knows these codes, and `invalid_request`."""

    def explain(answer: Answer, body: Body) -> Finding | None:
        del answer
        code, quote = words(body)
        if code is None:
            return None
        if code.lower() == "invalid_request":
            finding: Finding | None = _invalid_request(quote)
        else:
            finding = rules.get(code.lower())
        return finding and msgspec.structs.replace(finding, code=code, quote=quote)

    return explain


def _invalid_request(description: str) -> Finding:
    if re.search(_OF_THE_GRANT, description):
        return _DEAD
    if re.search(_OF_THE_CLIENT, description):
        return Finding("configuration", "does not understand our client")
    return Finding("transient", "does not understand the request")


explain: Final = by_table(RULES)
