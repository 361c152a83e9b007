"""What SQLite is to do for each query: the indexes it must use, and the scans it may make.

A query that is not listed here fails tests/sqlite/test_query_plans.py, and so does one that reads a
table from end to end without a reason in `scans`. An index that is walked in its order counts as
used, not as a scan, if it is a partial one: it holds no more than what is looked for.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

_CONNECTION_BY_ID: Final = "platform_connections_1 (id=?)"
_CONNECTION_BY_ACCOUNT: Final = (
    "platform_connections_2 (organization_id=? AND platform=? AND account_id=?)"
)
_DUE_INDEX: Final = "c USING INDEX clearlift_connections_by_last_synced"
_OPEN_JOBS: Final = "j USING INDEX clearlift_open_jobs_by_age (connection_id=?"
_STREAM: Final = "s USING PRIMARY KEY (connection_id=?)"
_VERSION: Final = "sqlite_autoindex_outbox_1 (connection_id=? AND version=?)"
_SEALS: Final = "k USING PRIMARY KEY (connection_id=?)"
_EVERYTHING: Final = "replay reads every row there is, once"
_PAGES: Final = "a row for each ten thousand of what is counted"
_PARTIAL: Final = "the index holds only what is looked for"


class Expected(NamedTuple):
    """What a plan must hold, and which scans it may, by what SQLite says of them, and why."""

    uses: tuple[str, ...] = ()
    scans: Mapping[str, str] = {}


EXPECTED: Final[Mapping[str, Mapping[str, Expected]]] = {
    "sqlite.sql": {
        "enter": Expected(),
        "enter_job": Expected(),
        "enter_message": Expected(),
        "stand": Expected(),
    },
    "store.sql": {
        "due": Expected(
            (
                f"{_DUE_INDEX} (<expr><?)",
                "o USING COVERING INDEX connection_settings_interval (sync_interval<?)",
                "j USING INDEX clearlift_open_jobs_by_age (connection_id=? AND <expr>>?)",
                _STREAM,
                "e USING INDEX sqlite_autoindex_outbox_1 (connection_id=? AND version<?)",
                # Where very many are overdue:
                "MERGE (EXCEPT)",
                "c USING COVERING INDEX clearlift_connections_by_id (id>?)",
                "j USING INDEX clearlift_open_jobs_by_age (connection_id>?)",
                "s USING COVERING INDEX connection_state_resting (connection_id>?)",
            ),
            {
                "many": "one row: whether very many are overdue",
                "idle": "what the query itself has merged",
                "active": "likewise",
            },
        ),
        "future": Expected((f"{_DUE_INDEX} (<expr>>?)",)),
        "dead": Expected(("connection_state_dead (connection_id>?)", _CONNECTION_BY_ID, _SEALS)),
        "candidates": Expected(
            (
                *("c USING INTEGER PRIMARY KEY (rowid=?)", _OPEN_JOBS, _STREAM, _SEALS),
                "e USING INDEX sqlite_autoindex_outbox_1 (connection_id=? AND version<?)",
            )
        ),
        "refs": Expected((_CONNECTION_BY_ID,)),
        "waiting": Expected(
            ("outbox_1 (connection_id=? AND version<?)",),
            {"s USING INDEX connection_state_waiting": _PARTIAL},
        ),
        "gate": Expected(("provider_gates USING PRIMARY KEY (provider=?)",)),
        "move_gate": Expected(("provider_gates USING PRIMARY KEY (provider=?)",)),
        "fits": Expected(
            (
                *(_STREAM, _VERSION, "g USING PRIMARY KEY (provider=?)"),
                *(_CONNECTION_BY_ID, _OPEN_JOBS),
            ),
        ),
        "append_entry": Expected(
            (_STREAM, "g USING PRIMARY KEY (provider=?)", _CONNECTION_BY_ID, _OPEN_JOBS),
        ),
        "project": Expected((_VERSION,)),
        "insert_job": Expected((_VERSION, "sqlite_autoindex_sync_jobs_1 (id=?)")),
        "mark_failed": Expected((_CONNECTION_BY_ID, _VERSION)),
        "clear_failed": Expected((_CONNECTION_BY_ID, _VERSION)),
        "store_tokens": Expected((_CONNECTION_BY_ID, _STREAM)),
        "seal_tokens": Expected((_CONNECTION_BY_ID,)),
        "enqueue": Expected((_VERSION,)),
        "ahead": Expected((_STREAM, "outbox_1 (connection_id=? AND version>?)")),
        "behind": Expected(
            (_STREAM, _VERSION),
            {"j USING INDEX clearlift_open_jobs_by_age": "one look at each open job, on D1 only"},
        ),
        "behind_of": Expected(("c USING INTEGER PRIMARY KEY (rowid=?)", _STREAM, _VERSION)),
        "streams": Expected((_STREAM,)),
        "at": Expected((_STREAM,)),
        "written": Expected((_VERSION,)),
    },
    "operation.sql": {
        "all_refs": Expected(("platform_connections USING INTEGER PRIMARY KEY (rowid>?)",)),
        "credentials": Expected(
            (
                _CONNECTION_BY_ID,
                _SEALS,
                "o USING INDEX clearlift_access_by_iv (<expr>=?)",
                "o USING INDEX clearlift_refresh_by_iv (<expr>=?)",
                "a USING INDEX credential_seals_access (access_iv=?)",
                "b USING INDEX credential_seals_refresh (refresh_iv=?)",
            )
        ),
        "sample": Expected(scans={"c": "the newest will do: it stops after a few"}),
        "begin_run": Expected(),
        "finish_run": Expected(("sqlite_autoindex_runs_1 (id=?)",)),
        "hold_lease": Expected(),
    },
    "keys.sql": {
        "ids": Expected(("platform_connections_1 (id>?)",)),
        "rename": Expected((_CONNECTION_BY_ID,)),
        "reencrypt": Expected((_CONNECTION_BY_ID,)),
    },
    "connections.sql": {
        "add_organization": Expected(),
        "reconnect": Expected((_CONNECTION_BY_ACCOUNT,)),
        "add": Expected((_CONNECTION_BY_ACCOUNT,)),
        "held": Expected((_CONNECTION_BY_ACCOUNT,)),
        "identify": Expected((_CONNECTION_BY_ACCOUNT,)),
        "page": Expected(("platform_connections_1 (id>?)", _STREAM)),
        "show": Expected((_CONNECTION_BY_ID, _STREAM)),
        "set_interval": Expected((_CONNECTION_BY_ID,)),
        "unset_interval": Expected(("connection_settings USING PRIMARY KEY (connection_id=?)",)),
    },
    "archive.sql": {
        "entries": Expected(
            scans={"outbox USING INDEX sqlite_autoindex_outbox_1": f"{_EVERYTHING}, in order"}
        ),
        "entries_of": Expected(("sqlite_autoindex_outbox_1 (connection_id=?)",)),
        "projections": Expected(scans={"connection_state": f"{_EVERYTHING}, in order"}),
        "projections_of": Expected(("connection_state USING PRIMARY KEY (connection_id=?)",)),
        "jobs": Expected(scans={"sync_jobs": _EVERYTHING}),
        "jobs_of": Expected(
            scans={"sync_jobs": "for one look at one life: closed jobs have no index of ours"}
        ),
        "connections": Expected(
            scans={
                "platform_connections USING COVERING INDEX"
                " sqlite_autoindex_platform_connections_1": f"{_EVERYTHING}, in order"
            }
        ),
        "connections_of": Expected((_CONNECTION_BY_ID,)),
        "positions": Expected(
            ("SEARCH outbox",),  # The highest position is at the end of the table.
            {
                "outbox USING COVERING INDEX sqlite_autoindex_outbox_1": "replay counts all rows",
                "sqlite_sequence": "a row for each of two tables",
            },
        ),
        "forget": Expected(),
        "remember": Expected(),
    },
    "paged.sql": {
        "known": Expected((_STREAM, "outbox_1 (connection_id>?", "PRIMARY KEY (connection_id>?")),
        "entries_between": Expected(("outbox_1 (connection_id>? AND connection_id<?)",)),
        "projections_between": Expected(("PRIMARY KEY (connection_id>? AND connection_id<?)",)),
        "jobs_between": Expected(
            ("outbox_1 (connection_id>? AND connection_id<?)", "sync_jobs_1 (id=?)")
        ),
        "connections_between": Expected(("platform_connections_1 (id>? AND id<?)",)),
        "unexplained": Expected(
            ("outbox_1 (connection_id=?)",), {"j": "replay asks once who made each job"}
        ),
        "forget_one": Expected(
            ("outbox_1 (connection_id=?)",), {"connection_state": "replay --rebuild replaces it"}
        ),
        "remember_one": Expected((_VERSION,)),
    },
    "monitor.sql": {
        "crowds": Expected(
            ("platform_connections USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", _STREAM),
            {"p": _PAGES},
        ),
        "position_at": Expected(
            ("SEARCH outbox", "o USING INTEGER PRIMARY KEY (rowid=?)"),
            {"s": "two numbers, halved again and again", "search": "likewise"},
        ),
        "crowds_at": Expected(
            (
                "s USING PRIMARY KEY (connection_id>? AND connection_id<?)",
                _CONNECTION_BY_ID,
                "outbox_1 (connection_id=?)",
            ),
            {"p": _PAGES, "connection_state": "to the first page's end"},
        ),
        "flows": Expected(
            ("outbox USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", "SEARCH outbox"),
            {"p": _PAGES},
        ),
        "audits": Expected(("runs_by_start (started_at>?)",)),
        "backlog": Expected(
            ("outbox_1 (connection_id=? AND version<?)",),
            {"s USING INDEX connection_state_waiting": _PARTIAL},
        ),
        "runs": Expected(("runs_by_start (started_at>? AND started_at<?)",)),
        "gates": Expected(scans={"provider_gates": "a row for each provider"}),
        "worst": Expected(
            (
                "o USING INTEGER PRIMARY KEY (rowid=?)",
                "f USING INDEX sqlite_autoindex_outbox_1 (connection_id=?)",
                _CONNECTION_BY_ID,
            ),
            {"connection_state": "it orders all that failed", "s": "the few that it has found"},
        ),
    },
    "checkup.sql": {
        "times": Expected(
            scans={
                "platform_connections": "one look at every connection",
                "sync_jobs": "the newest, and it stops after some",
            }
        ),
        "claims": Expected(scans={"sync_jobs": "the newest, and it stops after some"}),
    },
    "questions.sql": {
        "recent_jobs": Expected(
            (_CONNECTION_BY_ID,),
            {"sync_jobs": "from its end, and it stops after so many", "j": "those it has found"},
        ),
        "jobs": Expected(("j USING INDEX sqlite_autoindex_sync_jobs_1 (id=?)", _CONNECTION_BY_ID)),
        "jobs_by_status": Expected(
            ("sync_jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",),
            {"p": _PAGES},
        ),
        "failures": Expected(
            (
                "o USING INTEGER PRIMARY KEY (rowid=?)",
                _STREAM,
                _CONNECTION_BY_ID,
            ),
            {
                "outbox USING COVERING INDEX outbox_failures": _PARTIAL,
                "f": "the few that it has found",
            },
        ),
        "runs": Expected(("runs_by_start (started_at>?)",)),
        "life": Expected(("outbox_1 (connection_id=? AND version>?)",)),
    },
    "notices.sql": {
        "told_alerts": Expected(("notices USING PRIMARY KEY (kind=?)",)),
        "untold_grants": Expected(
            (_CONNECTION_BY_ID, "n USING PRIMARY KEY (kind=? AND subject=?)"),
            {"s USING INDEX connection_state_dead": _PARTIAL},
        ),
        "note": Expected(),
        "forget": Expected(("notices USING PRIMARY KEY (kind=? AND subject=?)",)),
    },
    "seals.sql": {
        "rows": Expected(("outbox USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",)),
        "last_position": Expected(("SEARCH outbox",)),
        "streams": Expected(
            ("outbox_1 (connection_id>?", "outbox_1 (connection_id=?)"),
            {"known": "what the query itself has found"},
        ),
        "seals": Expected(("audit_seals USING INTEGER PRIMARY KEY (rowid>?)",)),
        "last_seal": Expected(scans={"audit_seals": "from its end, and it stops at the first"}),
        "highest_seal": Expected(scans={"sqlite_sequence": "a row for each of three tables"}),
        "keep_seal": Expected(("s USING INTEGER PRIMARY KEY (rowid=?)",)),
    },
    "queue.sql": {
        "depth": Expected(scans={"queue_messages": "it counts all of them"}),
        "expire": Expected(scans={"queue_messages": "a retention of days, in a queue of hours"}),
        "bury": Expected(("queue_messages_ready (visible_at<?)",)),
        "lease": Expected(("queue_messages_ready (visible_at<?)", "queue_messages_1 (job_id=?)")),
        "leased": Expected(("queue_messages_leased (lease_id>? AND lease_id<?)",)),
        "ack": Expected(("queue_messages_leased (lease_id=?)",)),
        "revive": Expected(("queue_messages_1 (job_id=?)",)),
        "retry": Expected(("queue_messages_leased (lease_id=?)",)),
        "peek": Expected(scans={"queue_messages": "somebody looks at all of them"}),
    },
}
