"""Seals on D1: made, stored and proven like those of a file."""

from pathlib import Path

from clearlift_engine.policy import HOUR_MS
from tests.e2e.program import connect
from tests.given import NOW_MS
from tests.unit.test_seal import KEY
from tests.workerd.cloudflare import Cloudflare
from tests.workerd.program import CloudProgram

SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


async def test_a_log_on_d1_is_sealed_and_proven_and_a_change_is_named(
    workerd: Cloudflare, tmp_path: Path
) -> None:
    program = CloudProgram(tmp_path, workerd, AUDIT_SIGNING_KEY=SEED, AUDIT_PUBLIC_KEY=KEY)
    await program.done("migrate")
    with program.tables() as tables:
        for name in ("a", "b", "c"):
            connect(tables, name, platform="stripe")
    await program.done("tick")
    await program.done("audit", "seal", "--out", "seals.jsonl")
    await program.done("tick", "--relay", now_ms=NOW_MS + HOUR_MS)
    await program.done("audit", "seal", "--out", "seals.jsonl")

    sound = await program.done("audit", "verify", "--seals", "seals.jsonl", "--json")
    replayed = await program.done("replay", "--json")
    program.load("DROP TRIGGER outbox_refuses_update")
    program.load("UPDATE outbox SET run_id = 'x' WHERE position = 5")
    changed = await program.run("audit", "verify", "--json")

    assert (sound.report["position"], sound.report["seals"]) == (9, 2)
    assert sound.report["log_digest"] == replayed.report["digest"]
    assert changed.code == 6
    assert changed.report["violations"][0]["position"] == 5
