"""Ticks, the queue, its consumer, and what they leave in the tables."""

from collections.abc import Mapping, Sequence
from typing import Final

from clearlift_adapters.doctor.findings import Finding, Findings
from clearlift_adapters.stores.checkup import Claims, Times
from clearlift_engine.alerts import OLDEST_MESSAGE_MAX_MS, alerts, missed, spoken
from clearlift_engine.events import Level
from clearlift_engine.overview import Crowd, Overview
from clearlift_engine.policy import iso
from clearlift_engine.ports import Depth

RARE_SHARE: Final = 0.1  # Of the expected ticks of a day: so many may be missed after a restart.
_RARE_MIN: Final = 2

LEVELS: Final[Mapping[Level, tuple[str, str]]] = {
    "same_transaction": (
        "same transaction",
        "a message is stored by the transaction that records it, exactly once",
    ),
    "windowless": ("windowless dedupe", "a message that comes again is stored once, however late"),
    "windowed": (
        "windowed dedupe",
        "a message that comes again is stored once within the broker's window",
    ),
    "at_least_once": (
        "at least once + stable id",
        "a message may be stored again; the consumer makes it one effect by claiming the job",
    ),
}


def delivery(name: str, level: Level) -> Findings:
    """Yield what the queue promises."""
    words, meaning = LEVELS[level]
    values = {"queue": name, "level": words}
    yield Finding("delivery", "ok", f"the queue {name}", f"{words}: {meaning}", values)


def consumer(depth: Depth | None, claims: Claims, now_ms: int) -> Findings:
    """Yield whether anybody takes the messages."""
    oldest = None if depth is None else depth.oldest_at
    age_ms = 0 if oldest is None else max(now_ms - oldest, 0)
    values = {
        "messages": None if depth is None else depth.messages,
        "oldest_s": age_ms // 1000,
        "newest_jobs": claims.jobs,
        "claimed": claims.claimed,
    }
    said = f"{claims.claimed} of the newest {claims.jobs} jobs were claimed"
    looked_at = "the age of the messages, sync_jobs.status"
    old = age_ms > OLDEST_MESSAGE_MAX_MS
    if old:
        said += f"; the oldest message waits for {spoken(age_ms)}"
    if old and not claims.claimed:
        remedy = "start the consumer: README, The consumer"
        yield Finding("consumer", "error", looked_at, f"no consumer: {said}", values, remedy)
    elif old:
        remedy = "see that the consumer runs, and that it is fast enough"
        yield Finding("consumer", "warning", looked_at, said, values, remedy)
    else:
        yield Finding("consumer", "ok", looked_at, said, values)
    if depth is not None and depth.dead:
        yield Finding(
            "dead_letters",
            "warning",
            "the queue",
            f"{depth.dead} messages are dead letters: no consumer has acknowledged them",
            {"dead": depth.dead},
            "clearlift-cron queue list --dead; clearlift-cron queue retry --dead",
        )


def ticks(seen: Overview) -> Findings:
    """Yield whether ticks come as the schedule says."""
    looked_at = "runs, CLEARLIFT_CRON"
    if not seen.ticks:
        found = "no tick in the last day"
        remedy = "run clearlift-cron tick from cron, a timer or a CronJob"
        yield Finding("ticks", "warning", looked_at, found, {"ticks": 0}, remedy)
        return
    expected = len(seen.expected_ticks)
    gone = len(missed(seen.expected_ticks, seen.ticks, seen.at))
    values = {
        "ticks": len(seen.ticks),
        "expected": expected,
        "missed": gone,
        "last": iso(seen.ticks[0].started_at),
    }
    rare = gone >= max(_RARE_MIN, expected * RARE_SHARE)
    yield Finding(
        "ticks",
        "warning" if rare else "ok",
        looked_at,
        f"{gone} of the {expected} ticks that were expected in the last day did not come"
        + (": ticks are rarer than CLEARLIFT_CRON says" if rare else ""),
        values,
        "see that the timer fires, or set CLEARLIFT_CRON to what it really does" if rare else None,
    )
    killed = [run for run in seen.ticks[1:] if run.finished_at is None]
    if killed:
        yield Finding(
            "killed_ticks",
            "warning",
            "runs",
            f"{len(killed)} ticks of the last day did not end, the last of them begun at "
            f"{iso(killed[0].started_at)}: they were killed, or are still at work",
            {"ticks": len(killed)},
            "give them time: --deadline must be shorter than what kills them",
        )


def alarms(seen: Overview) -> Findings:
    """Yield what would wake somebody, but for what is looked at more closely here."""
    for alert in alerts(seen):
        if alert.name in ("missed_ticks", "oldest_message"):
            continue
        yield Finding(
            alert.name,
            "warning" if alert.firing else "ok",
            "runs, the log, the queue",
            alert.sentence,
            {"value": alert.value, "limit": alert.limit},
            alert.next_step if alert.firing else None,
        )


def stuck(crowds: Sequence[Crowd], limit_ms: int) -> Findings:
    """Yield how many connections a consumer has left as `syncing`."""
    number = sum(crowd.stuck for crowd in crowds if crowd.active)
    yield Finding(
        "stuck_syncing",
        "warning" if number else "ok",
        "platform_connections.sync_status",
        f"{number} connections are left as syncing for longer than {spoken(limit_ms)}",
        {"connections": number, "job_time_limit_s": limit_ms // 1000},
        "the next tick takes them again; see why the consumer did not end them" if number else None,
    )


def rescued(number: int) -> Findings:
    """Yield whether tokens wait beside the database, which could not take them."""
    if number:
        yield Finding(
            "rescued_tokens",
            "warning",
            "the folder of rescued tokens",
            f"{number} answers of providers wait beside the database, which could not take them",
            {"answers": number},
            "clearlift-cron tick brings them home; do not delete them: they come only once",
        )


def timestamps(columns: Sequence[Times]) -> Findings:
    """Yield how the times in shared columns are written."""
    for column in columns:
        values = {"plain": column.plain, "iso": column.iso, "unreadable": column.unreadable}
        table, _, name = column.place.partition(".")
        if column.unreadable:
            yield Finding(
                "unreadable_times",
                "warning",
                column.place,
                f"{column.unreadable} rows of {column.place} hold no time, one of them is "
                f"{column.example}",
                {**values, "example": column.example},
                f"correct them: {_MEANING.get(name, 'nobody can say when it was')}",
            )
        mixed = column.plain > 0 and column.iso > 0
        yield Finding(
            "mixed_times" if mixed else "times",
            "warning" if mixed else "ok",
            column.place,
            f"{column.place}: {column.plain} as YYYY-MM-DD HH:MM:SS, {column.iso} as "
            "YYYY-MM-DDTHH:MM:SSZ" + (", which as texts do not sort by time" if mixed else ""),
            values,
            f"this worker reads both; let every other query of {table} compare "
            f"unixepoch({name}), not the text"
            if mixed
            else None,
        )


_MEANING: Final = {
    "last_synced_at": "they count as never synced, and are synced in full again and again",
    "expires_at": "they count as expired, and are refreshed at every sync",
}
