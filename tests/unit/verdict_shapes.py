"""What token endpoints have been seen, or are documented, to answer; and what each answer means.

Every row names where its shape is from: owner/name#number is an issue, pull request or
discussion on GitHub, and MADE_UP is nowhere.
Tokens, ids and trace numbers are made up, long descriptions are cut, and where a page documents
only a code, so is its description.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from clearlift_adapters.oauth import facebook, google, rfc6749, tiktok
from clearlift_adapters.oauth.verdicts import Explain, FailureClass, Granted
from clearlift_adapters.oauth.wire import Answer

GOOGLE, FACEBOOK, TIKTOK, RFC = google.explain, facebook.explain, tiktok.explain, rfc6749.explain

META_ERRORS = "https://developers.facebook.com/docs/graph-api/guides/error-handling"
META_LIMITS = "https://developers.facebook.com/docs/graph-api/overview/rate-limiting"
META_LONG = (
    "https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived"
)
TIKTOK_TOKENS = "https://developers.tiktok.com/doc/oauth-user-access-token-management"
TIKTOK_OAUTH = "https://developers.tiktok.com/doc/oauth-error-handling"
TIKTOK_API = "https://developers.tiktok.com/doc/tiktok-api-v2-error-handling"
TIKTOK_LIMITS = "https://developers.tiktok.com/doc/tiktok-api-v2-rate-limit"
RFC_5_1 = "https://www.rfc-editor.org/rfc/rfc6749#section-5.1"
RFC_5_2 = "https://www.rfc-editor.org/rfc/rfc6749#section-5.2"
GITHUB_DOCS = (
    "https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/"
    "troubleshooting-oauth-app-access-token-request-errors"
)
GOOGLE_OAUTH = "https://developers.google.com/identity/protocols/oauth2/web-server"
SLACK_METHOD = "https://docs.slack.dev/reference/methods/oauth.v2.access#errors"
RFC_9110 = "https://www.rfc-editor.org/rfc/rfc9110"
MADE_UP = "nobody's: to be ready for it"

HTML = {"content-type": "text/html; charset=utf-8"}
REGAIN = (
    '{"66782684":[{"type":"ads_management","estimated_time_to_regain_access":19},'
    '{"type":"ads_insights","estimated_time_to_regain_access":3}]}'
)
SORRY = b"<html><head><title>Sorry...</title></head><body><h1>We're sorry...</h1></body></html>"


class Refusal(msgspec.Struct, frozen=True):
    """The part of a finding that decides what happens next."""

    failure_class: FailureClass
    code: str | None
    ambiguous: bool = False
    retry_after_ms: int | None = None


class Recorded(msgspec.Struct, frozen=True):
    """An answer, who gives it, where that is written, and what it means."""

    name: str
    source: str
    explain: Explain
    answer: Answer
    means: Granted | Refusal


def row(  # noqa: PLR0917 - the columns of the tables below
    name: str,
    source: str,
    explain: Explain,
    status: int,
    body: object,
    means: Granted | Refusal,
    headers: Mapping[str, str] | None = None,
) -> Recorded:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Recorded(name, source, explain, Answer(status, headers or {}, raw), means)


def meta(code: int, message: str, subcode: int | None = None, **fields: object) -> object:
    error = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "Axyz"}
    return {"error": error | ({} if subcode is None else {"error_subcode": subcode}) | fields}


def oauth(error: str, description: str | None = None, **fields: object) -> object:
    described = {} if description is None else {"error_description": description}
    return {"error": error, **described, **fields}


def permanent(code: str) -> Refusal:
    return Refusal("permanent", code)


def configuration(code: str) -> Refusal:
    return Refusal("configuration", code)


def throttled(code: str, retry_after_ms: int | None = None) -> Refusal:
    return Refusal("throttled", code, retry_after_ms=retry_after_ms)


def transient(code: str) -> Refusal:
    return Refusal("transient", code)


def unclear(code: str) -> Refusal:
    return Refusal("transient", code, ambiguous=True)


# fmt: off
GOOGLE_SHAPES: Final = [
    row("grants, without a new refresh token", GOOGLE_OAUTH + "#offline", GOOGLE, 200,
        {"access_token": "ya29.new", "expires_in": 3920, "scope": "s", "token_type": "Bearer"},
        Granted("ya29.new", None, 3920)),
    row("expires_in as a string", MADE_UP, GOOGLE, 200,
        {"access_token": "ya29.new", "expires_in": "3599", "token_type": "Bearer"},
        Granted("ya29.new", None, 3599)),
    row("expired or revoked", "googleapis/google-api-php-client#2266", GOOGLE, 400,
        oauth("invalid_grant", "Token has been expired or revoked."), permanent("invalid_grant")),
    row("a refresh token that is none", "googleapis/oauth2client#451", GOOGLE, 400,
        oauth("invalid_grant", "Bad Request"), permanent("invalid_grant")),
    row("the organisation wants a new sign-in", "anthropics/blobfile#2", GOOGLE, 400,
        oauth("invalid_grant", "reauth related error (invalid_rapt)",
         error_subtype="invalid_rapt"), permanent("invalid_grant")),
    row("client not found", "Edujugon/laravel-google-ads#17", GOOGLE, 401,
        oauth("invalid_client", "The OAuth client was not found."),
        configuration("invalid_client")),
    row("wrong client secret", "teranetsrl/oauth2_client#145", GOOGLE, 401,
        oauth("invalid_client", "Unauthorized"), configuration("invalid_client")),
    row("the grant is another client's", "googleapis/google-auth-library-python#1561", GOOGLE,
        401, oauth("unauthorized_client", "Unauthorized"), permanent("unauthorized_client")),
    row("the grant is another client's, without a description", "prasmussen/gdrive#375", GOOGLE,
        401, oauth("unauthorized_client"), permanent("unauthorized_client")),
    row("deleted client", "xyou365/AutoRclone#98", GOOGLE, 401,
        oauth("deleted_client", "The OAuth client was deleted."), configuration("deleted_client")),
    row("disabled client", "msjit/testcasedb#22", GOOGLE, 401,
        oauth("disabled_client", "The OAuth client was disabled."),
        configuration("disabled_client")),
    row("blocked by the user's organisation", GOOGLE_OAUTH + "#errors", GOOGLE, 400,
        oauth("admin_policy_enforced"), permanent("admin_policy_enforced")),
    row("401 without a body", "googleapis/google-api-java-client#932", GOOGLE, 401, b"",
        configuration("http_401")),
    row("rate limit as a page", "googleapis/google-oauth-java-client#57", GOOGLE, 403, SORRY,
        throttled("http_403"), HTML),
    row("rate limit as a page without its content type", "tomwalder/php-gds#19", GOOGLE, 403,
        b"\n" + SORRY, throttled("http_403")),
    row("rate limit in the words of its APIs", "jaredhanson/passport-google-oauth#75", GOOGLE,
        403,
        {"error": {"errors": [{"domain": "usageLimits", "reason": "userRateLimitExceeded"}],
         "code": 403, "message": "User Rate Limit Exceeded"}}, throttled("userRateLimitExceeded")),
    row("resource exhausted", "https://cloud.google.com/apis/design/errors#error_model", GOOGLE,
        429, {"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}},
        throttled("http_429", 7000), {"retry-after": "7"}),
    row("400 as a page", "erebusnz/gapi-google-analytics-php-interface#98", GOOGLE, 400,
        b"<HTML><HEAD><TITLE>Error processing OAuth 2 request</TITLE></HEAD></HTML>",
        transient("http_400"), HTML),
    row("internal failure, not as a 5xx", "googleapis/google-auth-library-python#368", GOOGLE,
        400, oauth("internal_failure"), unclear("internal_failure")),
    row("internal failure", "yasyf/vc#187", GOOGLE, 500,
        oauth("internal_failure", "Backend Error"), unclear("http_500")),
    row("bad gateway", "googleapis/oauth2client#315", GOOGLE, 502,
        b"<html>502. That's an error.</html>", unclear("http_502"), HTML),
]

FACEBOOK_SHAPES: Final = [
    row("grants for 60 days", META_LONG, FACEBOOK, 200,
        {"access_token": "EAAnew", "token_type": "bearer", "expires_in": 5183944},
        Granted("EAAnew", None, 5183944)),
    row("grants without an expiry", META_LONG, FACEBOOK, 200,
        {"access_token": "EAAnew", "token_type": "bearer"}, Granted("EAAnew")),
    row("expired", "snarfed/bridgy#59", FACEBOOK, 400,
        meta(190, "Error validating access token: Session has expired on Feb 7, 2014 9:54am.", 463),
        permanent("190/463")),
    row("password changed", "roughike/flutter_facebook_login#151", FACEBOOK, 400,
        meta(190, "Error validating access token: The session has been invalidated", 460),
        permanent("190/460")),
    row("app removed by the user", "facebook-csharp-sdk/facebook-csharp-sdk#186", FACEBOOK, 400,
        meta(190, "Error validating access token: The user has not authorized application", 458),
        permanent("190/458")),
    row("user at a checkpoint", "pipeboard-co/meta-ads-mcp#134", FACEBOOK, 400,
        meta(190, "You cannot access the app till you log in to www.facebook.com", 459),
        permanent("190/459")),
    row("no token of theirs", "facebook/facebook-ios-sdk#2576", FACEBOOK, 400,
        meta(190, "Invalid OAuth access token - Cannot parse access token"), permanent("190")),
    row("malformed token, as 401", "facebookarchive/react-native-fbsdk#220", FACEBOOK, 401,
        meta(190, "Malformed access token"), permanent("190")),
    row("session expired, by its older code", "sciyoshi/pyfacebook#77", FACEBOOK, 400,
        meta(102, "Session has expired at unix time The current unix time"), permanent("102")),
    row("permission withdrawn", META_ERRORS, FACEBOOK, 403,
        meta(200, "(#200) Requires ads_read permission"), permanent("200")),
    row("permission denied", META_ERRORS, FACEBOOK, 403,
        meta(10, "(#10) Application does not have permission for this action"), permanent("10")),
    row("wrong app secret, under the code of a passing fault",
        "facebookarchive/php-graph-sdk#538", FACEBOOK, 400,
        meta(1, "Error validating client secret."), configuration("1")),
    row("wrong app id", "diowa/icare#5", FACEBOOK, 400,
        meta(101, "Error validating application. Invalid application ID."), configuration("101")),
    row("app unknown to it", "sns-sdks/python-facebook#271", FACEBOOK, 400,
        meta(101,
         "Error validating application. Cannot get application info due to a system error."),
        configuration("101")),
    row("no app id sent", "facebookarchive/php-graph-sdk#50", FACEBOOK, 400,
        meta(101, "Missing client_id parameter."), configuration("101")),
    row("deleted app, under the code of a dead token", "facebookarchive/php-graph-sdk#770",
        FACEBOOK, 400, meta(190, "Error validating application. Application has been deleted."),
        configuration("190")),
    row("app secret proof", "restfb/restfb#1118", FACEBOOK, 400,
        meta(100, "Invalid appsecret_proof provided in the API argument"), configuration("100")),
    row("a method the app may not use", META_ERRORS, FACEBOOK, 400, meta(3, "Unknown method"),
        configuration("3")),
    row("unknown error", "facebookarchive/php-graph-sdk#948", FACEBOOK, 400,
        {"error": {"code": 1, "message": "An unknown error occurred", "error_subcode": 99}},
        unclear("1/99")),
    row("temporarily unavailable", "facebook/facebook-nodejs-business-sdk#84", FACEBOOK, 400,
        meta(2, "(#2) Service temporarily unavailable", is_transient=True), unclear("2")),
    row("temporarily unavailable, as 500", "ibonly/laravel-accountkit#12", FACEBOOK, 500,
        meta(2, "Service temporarily unavailable", is_transient=True), unclear("http_500")),
    row("a dead token inside a 5xx proves nothing", MADE_UP, FACEBOOK, 503,
        meta(190, "Error validating access token", 463), unclear("http_503")),
    row("app limit", "facebook/facebook-nodejs-business-sdk#97", FACEBOOK, 403,
        meta(4, "(#4) Application request limit reached", is_transient=True), throttled("4")),
    row("user limit, with the minutes until it ends", META_LIMITS, FACEBOOK, 400,
        meta(17, "(#17) User request limit reached"), throttled("17", 19 * 60_000),
        {"x-business-use-case-usage": REGAIN}),
    row("page limit", "facebookarchive/php-graph-sdk#634", FACEBOOK, 400,
        meta(32, "(#32) Page request limited reached"), throttled("32")),
    row("application limit", "facebookarchive/php-graph-sdk#880", FACEBOOK, 400,
        meta(341, "Application limit reached"), throttled("341")),
    row("custom limit", "facebook/facebook-php-business-sdk#344", FACEBOOK, 400,
        meta(613, "Calls to this api have exceeded the rate limit."), throttled("613")),
    row("ad account limit", "airbytehq/airbyte#8773", FACEBOOK, 400,
        meta(80004, "(#80004) There have been too many calls to this ad-account.", 2446079),
        throttled("80004/2446079")),
    row("insights limit, and no time known", "airbytehq/airbyte#10655", FACEBOOK, 400,
        meta(80000, "(#80000) There have been too many calls from this ad-account.", 2446079),
        throttled("80000/2446079"),
        {"x-app-usage": '{"call_count":100,"total_time":25,"total_cputime":25}'}),
    row("blocked for a time, which is about one user", "facebookarchive/php-graph-sdk#693",
        FACEBOOK, 400,
        meta(368, "It looks like you were misusing this feature by going too fast.", 1390008),
        transient("368/1390008")),
    row("a code nobody knows", META_ERRORS, FACEBOOK, 400, meta(99999, "Something new"),
        transient("99999")),
]

TIKTOK_SHAPES: Final = [
    row("grants, and rotates", TIKTOK_TOKENS, TIKTOK, 200,
        {"access_token": "act.new", "expires_in": 86400, "open_id": "asdf-12345c-1a2s3d-ac98",
         "refresh_expires_in": 31536000, "refresh_token": "rft.new", "scope": "user.info.basic",
         "token_type": "Bearer"}, Granted("act.new", "rft.new", 86400, 31536000)),
    row("dead grant inside 200", TIKTOK_OAUTH, TIKTOK, 200,
        oauth("invalid_grant", "Refresh token is invalid or expired.",
         log_id="202206221854370101"), permanent("invalid_grant")),
    row("dead grant", TIKTOK_OAUTH, TIKTOK, 400,
        oauth("invalid_grant", "Refresh token is invalid or expired.",
         log_id="202206221854370101"), permanent("invalid_grant")),
    row("denied", TIKTOK_OAUTH, TIKTOK, 200,
        oauth("access_denied", "The resource owner denied the request.", log_id="2022"),
        permanent("access_denied")),
    row("wrong client inside 200", TIKTOK_OAUTH, TIKTOK, 200,
        oauth("invalid_client", "Client secret is incorrect.", log_id="2022"),
        configuration("invalid_client")),
    row("client key missing, inside 200", TIKTOK_OAUTH, TIKTOK, 200,
        oauth("invalid_request", "Client key is missing.", log_id="2022"),
        configuration("invalid_request")),
    row("a request it cannot read, inside 200", TIKTOK_OAUTH, TIKTOK, 200,
        oauth("invalid_request", "The request parameters are malformed.", log_id="2022"),
        transient("invalid_request")),
    row("client not authorised", TIKTOK_OAUTH, TIKTOK, 200,
        oauth("unauthorized_client", "The client is not authorized.", log_id="2022"),
        configuration("unauthorized_client")),
    row("grant type", TIKTOK_OAUTH, TIKTOK, 200, oauth("unsupported_grant_type", log_id="2022"),
        configuration("unsupported_grant_type")),
    row("scope", TIKTOK_OAUTH, TIKTOK, 200, oauth("invalid_scope", log_id="2022"),
        permanent("invalid_scope")),
    row("rate limit", TIKTOK_LIMITS, TIKTOK, 429,
        {"error": {"code": "rate_limit_exceeded", "message": "Try later", "log_id": "2022"}},
        throttled("http_429")),
    row("rate limit inside 200", TIKTOK_LIMITS, TIKTOK, 200,
        {"error": {"code": "rate_limit_exceeded", "message": "Try later", "log_id": "2022"}},
        throttled("rate_limit_exceeded")),
    row("invalid token, in the flat form", TIKTOK_API, TIKTOK, 401,
        {"code": "access_token_invalid", "log_id": "20220829194722CBE87ED59D524E727021",
         "message": "Access token is invalid, please refresh token and retry"},
        permanent("access_token_invalid")),
    row("scope not authorised", TIKTOK_API, TIKTOK, 401,
        {"error": {"code": "scope_not_authorized", "message": "m", "log_id": "2022"}},
        permanent("scope_not_authorized")),
    row("internal error", TIKTOK_API, TIKTOK, 500,
        {"error": {"code": "internal_error", "message": "m", "log_id": "2022"}},
        unclear("http_500")),
    row("internal error inside 200", TIKTOK_API, TIKTOK, 200,
        {"error": {"code": "internal_error", "message": "m", "log_id": "2022"}},
        unclear("internal_error")),
    row("business API's failure inside 200", "gitroomhq/postiz-app#1897", TIKTOK, 200,
        {"code": 40105, "message": "Access token is incorrect or revoked.", "request_id": "2022"},
        unclear("http_200")),
]

RFC6749_SHAPES: Final = [
    row("grants, and rotates", RFC_5_1, RFC, 200,
        {"access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "example", "expires_in": 3600,
         "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA"},
        Granted("2YotnFZFEjr1zCsicMWpAA", "tGzv3JOkF0XG5Qx2TlKWIA", 3600)),
    row("invalid_grant", "ChimeHQ/OAuthenticator#23", RFC, 400,
        oauth("invalid_grant", "Refresh token exceeded inactivity timeout"),
        permanent("invalid_grant")),
    row("intuit: invalid_grant, bare", "intuit/oauth-jsclient#77", RFC, 400,
        b'{"error":"invalid_grant"}', permanent("invalid_grant")),
    row("intuit: invalid_client", "intuit/oauth-rubyclient#14", RFC, 401,
        b'{"error":"invalid_client"}', configuration("invalid_client")),
    row("salesforce: inactive organization", "calcom/cal.diy#11508", RFC, 400,
        oauth("invalid_grant", "inactive organization"), permanent("invalid_grant")),
    row("microsoft: revoked", "microsoft/azuredatastudio#22853", RFC, 400,
        oauth("invalid_grant", "AADSTS50173: The provided grant has expired",
         error_codes=[50173]), permanent("invalid_grant")),
    row("microsoft: interaction_required", "igortsives/togetherly#95", RFC, 400,
        oauth("interaction_required", "AADSTS50076", error_codes=[50076]),
        permanent("interaction_required")),
    row("microsoft: consent_required", "igortsives/togetherly#95", RFC, 400,
        oauth("consent_required", "AADSTS65001", error_codes=[65001]),
        permanent("consent_required")),
    row("hubspot: dead grant in words of its own", "HubSpot/oauth-quickstart-nodejs#17", RFC, 400,
        {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"},
        permanent("BAD_REFRESH_TOKEN")),
    row("slack: dead grant inside 200", "CogniQ/CogniQ#72", RFC, 200,
        {"ok": False, "error": "invalid_refresh_token"}, permanent("invalid_refresh_token")),
    row("slack: wrong secret inside 200", SLACK_METHOD, RFC, 200,
        {"ok": False, "error": "bad_client_secret"}, configuration("bad_client_secret")),
    row("slack: rate limit", "https://docs.slack.dev/apis/web-api/rate-limits", RFC, 429,
        {"ok": False, "error": "ratelimited"}, throttled("http_429", 30_000),
        {"retry-after": "30"}),
    row("github: dead grant inside 200", "orgs/community#24745", RFC, 200,
        oauth("bad_refresh_token", "The refresh token passed is incorrect or expired."),
        permanent("bad_refresh_token")),
    row("github: wrong client inside 200", GITHUB_DOCS, RFC, 200,
        oauth("incorrect_client_credentials",
         "The client_id and/or client_secret passed are incorrect."),
        configuration("incorrect_client_credentials")),
    row("deviantart: a dead grant called an invalid request", "wix-incubator/DeviantArt-API#58",
        RFC, 400, oauth("invalid_request", "The refresh_token is invalid.", status="error"),
        permanent("invalid_request")),
    row("xee: a dead grant called an invalid request, and no word more",
        "xee-lab/xee-api-docs#82", RFC, 400, b'{"error":"invalid_request"}',
        transient("invalid_request")),
    row("invalid_request about the client", RFC_5_2, RFC, 400,
        oauth("invalid_request", "Missing parameter: client_id"),
        configuration("invalid_request")),
    row("unauthorized_client", "bshaffer/oauth2-server-php-docs#125", RFC, 400,
        oauth("unauthorized_client", "The grant type is unauthorized for this client_id"),
        configuration("unauthorized_client")),
    row("unsupported_grant_type", RFC_5_2, RFC, 400, oauth("unsupported_grant_type"),
        configuration("unsupported_grant_type")),
    row("invalid_scope", RFC_5_2, RFC, 400, oauth("invalid_scope"), permanent("invalid_scope")),
    row("temporarily_unavailable", "googleapis/google-auth-library-python#1113", RFC, 400,
        oauth("temporarily_unavailable"), unclear("temporarily_unavailable")),
    row("an error that nobody knows", "notmarek/BeFake#89", RFC, 400,
        {"error": "Bad Request", "statusCode": 400, "message": "Bad Request"},
        transient("Bad Request")),
]

BARE_SHAPES: Final = [
    row("200 that is HTML", MADE_UP, RFC, 200, SORRY, unclear("http_200"), HTML),
    row("200 that is no JSON", MADE_UP, RFC, 200, b"{access_token", unclear("http_200")),
    row("200 that is empty", MADE_UP, GOOGLE, 200, b"", unclear("http_200")),
    row("200 that is an array", MADE_UP, TIKTOK, 200, b"[]", unclear("http_200")),
    row("200 with JSON too deep", MADE_UP, RFC, 200, b"[" * 60_000, unclear("http_200")),
    row("200 with a blank token", MADE_UP, RFC, 200, {"access_token": " "}, unclear("http_200")),
    row("200 with no string", MADE_UP, RFC, 200, {"access_token": 7}, unclear("http_200")),
    row("204", RFC_9110 + "#section-15.3.5", RFC, 204, b"", unclear("http_204")),
    row("301: moved for good", RFC_9110 + "#section-15.4.2", RFC, 301, b"",
        configuration("http_301")),
    row("302: to a login page", RFC_9110 + "#section-15.4.3", RFC, 302, b"",
        transient("http_302")),
    row("307", RFC_9110 + "#section-15.4.8", GOOGLE, 307, b"", transient("http_307")),
    row("308: moved for good", RFC_9110 + "#section-15.4.9", RFC, 308, b"",
        configuration("http_308")),
    row("403 from a firewall", MADE_UP, RFC, 403, SORRY, transient("http_403"), HTML),
    row("404", RFC_9110 + "#section-15.5.5", FACEBOOK, 404, SORRY, configuration("http_404"),
        HTML),
    row("405", RFC_9110 + "#section-15.5.6", RFC, 405, b"", configuration("http_405")),
    row("408", RFC_9110 + "#section-15.5.9", RFC, 408, b"", transient("http_408")),
    row("429 whatever the body says", "https://www.rfc-editor.org/rfc/rfc6585#section-4", RFC,
        429, oauth("invalid_grant"), throttled("http_429")),
    row("503 with a time to come back", RFC_9110 + "#section-10.2.3", RFC, 503, b"",
        Refusal("transient", "http_503", ambiguous=True, retry_after_ms=120_000),
        {"retry-after": "120"}),
    row("200 with a byte order mark", "https://www.rfc-editor.org/rfc/rfc8259#section-8.1", RFC,
        200, b'\xef\xbb\xbf{"access_token":"at"}', Granted("at")),
]
# fmt: on

SHAPES: Final = [
    *GOOGLE_SHAPES,
    *FACEBOOK_SHAPES,
    *TIKTOK_SHAPES,
    *RFC6749_SHAPES,
    *BARE_SHAPES,
]
