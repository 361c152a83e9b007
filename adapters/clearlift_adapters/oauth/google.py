"""Google's words, where they are not those of RFC 6749."""

from typing import Final

from clearlift_adapters.oauth import rfc6749
from clearlift_adapters.oauth.verdicts import Body, Explain, Finding, is_html
from clearlift_adapters.oauth.wire import Answer

_GONE: Final = Finding("configuration", "says that our OAuth client was deleted or disabled")
_BLOCKED: Final = Finding("permanent", "says that the user's organisation blocks our access")
_BUSY: Final = rfc6749.RULES["rate_limit_exceeded"]

# `unauthorized_client` is what a refresh token gets that another client was given: a row that was
# connected with an older client id (prasmussen/gdrive#375, googleapis/google-auth-library-python
# #1561). Were it ours for all, every verdict would be this one, and the guard against a wave of
# permanent verdicts holds them.
_FOREIGN: Final = Finding("permanent", "says the grant belongs to another OAuth client than ours")

_explain: Final[Explain] = rfc6749.by_table(
    {
        **rfc6749.RULES,
        "unauthorized_client": _FOREIGN,
        "deleted_client": _GONE,  # xyou365/AutoRclone#98
        "disabled_client": _GONE,  # msjit/testcasedb#22
        "admin_policy_enforced": _BLOCKED,
        "internal_failure": rfc6749.RULES["server_error"],  # google-auth-library-python#368
        "ratelimitexceeded": _BUSY,
        "userratelimitexceeded": _BUSY,
        "quotaexceeded": _BUSY,
        "resource_exhausted": _BUSY,
    }
)


def explain(answer: Answer, body: Body) -> Finding | None:
    """Return what Google's answer says.

    Its limit on the token endpoint is a 403 with a page for people and no word for a program
    (googleapis/google-oauth-java-client#57, tomwalder/php-gds#19).
    """
    if answer.status == 403 and is_html(answer):  # noqa: PLR2004 - Forbidden
        return Finding("throttled", "asks for fewer requests", "http_403")
    return _explain(answer, body)
