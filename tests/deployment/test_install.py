"""What `install` prints is taken by the programs that it is for."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from clearlift_adapters.cli.commands import run
from clearlift_adapters.deployment.files import File
from clearlift_adapters.settings import load_settings
from tests.cli.program import KEY
from tests.deployment.systemd import analyze, verified

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = "/bin/true"  # systemd looks whether there is one; which one makes no difference.
EXPOSURE_MAX: Final = 15  # Of 100, as `systemd-analyze security` counts.
D1: Final = ("--database", "d1://acc/db", "--queue", "cloudflare://acc/q")

Capture = pytest.CaptureFixture[str]
Manifest = dict[str, Any]


def printed(capsys: Capture, *arguments: str) -> dict[str, str]:
    """Return the files that an `install` prints, by name."""
    code = run(["install", *arguments, "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    found = [msgspec.json.decode(line, type=File) for line in lines]
    return {file.name: file.text for file in found}


def manifests(text: str) -> dict[str, Manifest]:
    """Return Kubernetes's objects by kind."""
    parsed = [msgspec.yaml.decode(part, type=Manifest) for part in text.split("\n---\n")]
    return {each["kind"]: each for each in parsed}


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--relay", "tick", "--platform", "google", "--user", "root"),
        ("--schedule", "0 3 1,15 * MON", *D1),
        ("--with", "seal", "--with", "metrics"),
    ],
)
def test_systemd_finds_nothing_wrong_with_its_units(
    options: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    run(["install", "systemd", "--program", PROGRAM, "--out", str(tmp_path), *options])

    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    units = [path for path in written if path.suffix in {".service", ".timer"}]
    assert len(units) == 3 - ("tick" in options) + 2 * options.count("--with")
    assert verified(units) == ""


def test_services_can_do_little_but_their_work(tmp_path: Path) -> None:
    extras = ("--with", "seal", "--with", "metrics")
    run(["install", "systemd", "--program", PROGRAM, "--out", str(tmp_path), *extras])

    for service in tmp_path.glob("*.service"):
        limit = f"--threshold={EXPOSURE_MAX}"
        judged = analyze("security", "--offline=true", "--no-pager", limit, str(service))
        assert judged.returncode == 0, judged.stdout[-300:]


def test_each_service_gets_the_secrets_that_it_needs_and_no_other(capsys: Capture) -> None:
    extras = ("--with", "seal", "--with", "metrics")
    made = printed(capsys, "systemd", "--platform", "google", *D1, *extras)

    wanted = {
        name: re.findall(r"^LoadCredential=([\w-]+):", text, re.MULTILINE)
        for name, text in made.items()
        if name.endswith(".service")
    }
    assert wanted == {
        "clearlift-tick.service": [
            "encryption-key",
            "google-client-secret",
            "cloudflare-api-token",
        ],
        "clearlift-relay.service": ["cloudflare-api-token"],
        "clearlift-seal.service": ["audit-signing-key", "cloudflare-api-token"],
        "clearlift-metrics.service": ["cloudflare-api-token"],
    }


def test_every_setting_in_the_files_is_one(tmp_path: Path, capsys: Capture) -> None:
    environment = printed(capsys, "systemd", *D1)["clearlift.env"]
    toml = printed(capsys, "cron", *D1)["clearlift.toml"]
    (tmp_path / "secrets").mkdir()
    for file in re.findall(r'"secrets/([\w-]+)"', toml):
        (tmp_path / "secrets" / file).write_text(KEY, encoding="utf-8")
    path = tmp_path / "clearlift.toml"
    path.write_text(toml.replace('""', '"filled in"'), encoding="utf-8")
    pairs = re.findall(r'^([A-Z_]+)="?(.*?)"?$', environment, re.MULTILINE)

    from_file = load_settings({}, {}, path)
    from_environment = load_settings({}, {name: text or "filled in" for name, text in pairs})

    for settings in (from_file, from_environment):
        assert (settings.database, settings.queue) == ("d1://acc/db", "cloudflare://acc/q")
        assert settings.cron == "*/15 * * * *"
        assert not settings.complaints
    assert all(provider.problem is None for provider in from_file.providers.values())


def test_cron_gets_one_line_that_ticks_and_delivers(capsys: Capture) -> None:
    made = printed(capsys, "cron", "--program", "/opt/clearlift-cron")

    [line] = [line for line in made["clearlift"].splitlines() if line.startswith("*")]
    assert line.split(maxsplit=6)[:6] == ["*/15", "*", "*", "*", "*", "clearlift"]
    assert "/opt/clearlift-cron --config /etc/clearlift/clearlift.toml tick --relay" in line
    assert "%" not in line
    assert "CRON_TZ" not in made["clearlift"]


def test_cron_is_told_its_time_zone_where_it_matters(capsys: Capture) -> None:
    made = printed(capsys, "cron", "--schedule", "0 6 * * 1", "--relay", "service")

    lines = made["clearlift"].splitlines()
    assert "CRON_TZ=UTC" in lines
    assert "--relay" not in lines[-1]


def test_kubernetes_never_runs_two_ticks_at_once_and_none_with_rights(capsys: Capture) -> None:
    kinds = manifests(printed(capsys, "k8s", *D1)["clearlift.yaml"])

    job = kinds["CronJob"]["spec"]
    pods = [job["jobTemplate"]["spec"]["template"], kinds["Deployment"]["spec"]["template"]]
    assert (job["concurrencyPolicy"], job["schedule"]) == ("Forbid", "*/15 * * * *")
    assert job["timeZone"] == "Etc/UTC"
    for pod in (each["spec"] for each in pods):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            limits = container["securityContext"]
            assert limits["readOnlyRootFilesystem"]
            assert not limits["allowPrivilegeEscalation"]
            assert limits["capabilities"] == {"drop": ["ALL"]}


def test_what_a_pod_reads_and_mounts_is_there(capsys: Capture) -> None:
    kinds = manifests(printed(capsys, "k8s", "--platform", "google")["clearlift.yaml"])

    tick = kinds["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    relay = kinds["Deployment"]["spec"]["template"]["spec"]
    claim = kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert {"name": "rescue", "persistentVolumeClaim": {"claimName": claim}} in tick["volumes"]
    for pod, keys in ((tick, 3), (relay, 1)):
        [container] = pod["containers"]
        [secrets] = [each["secret"] for each in pod["volumes"] if each["name"] == "secrets"]
        mounted = [f"/run/secrets/clearlift/{item['path']}" for item in secrets["items"]]
        assert len(mounted) == keys
        assert [each["value"] for each in container["env"]] == mounted
        assert {each["name"] for each in container["volumeMounts"]} == {"secrets", "rescue"}
        assert container["envFrom"] == [{"configMapRef": {"name": "clearlift"}}]


def test_without_a_relay_each_tick_delivers_and_migrates(capsys: Capture) -> None:
    kinds = manifests(printed(capsys, "k8s", "--relay", "tick")["clearlift.yaml"])

    pod = kinds["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "Deployment" not in kinds
    assert pod["containers"][0]["args"] == ["tick", "--relay", "--json"]
    assert pod["initContainers"][0]["args"] == ["migrate"]


def test_an_image_is_built_from_what_is_here_and_runs_without_rights(capsys: Capture) -> None:
    lines = printed(capsys, "docker", "--image", "r.example/clearlift:1")["Dockerfile"].splitlines()

    copied = [part for line in lines if line.startswith("COPY ") for part in line.split()[1:-1]]
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    users = [number for number, line in enumerate(lines) if line == "USER 65532:65532"]
    assert all((ROOT / name).exists() for name in copied if not name.startswith(("-", "/")))
    assert len(stages) == 2
    assert users[0] > stages[-1]
    assert any("--require-hashes -r requirements.txt" in line for line in lines)
    assert any(line.startswith("HEALTHCHECK") and "health" in line for line in lines)


def test_a_consumer_is_told_what_the_example_says(capsys: Capture) -> None:
    made = tomllib.loads(printed(capsys, "wrangler")["wrangler.toml"])
    example = tomllib.loads((ROOT / "examples/consumer-worker/wrangler.toml").read_text("utf-8"))

    [database], [wanted] = made["d1_databases"], example["d1_databases"]
    assert made["queues"] == example["queues"]
    assert {**database, "database_id": ""} == {**wanted, "database_id": ""}


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clearlift").symlink_to(beside)

    assert run(["install", "cron", "--out", str(tmp_path / "out")]) == 2
    assert not beside.exists()
    assert run(["install", "cron", "--out", str(tmp_path / "out"), "--force"]) == 0


def test_a_schedule_stays_on_its_line(capsys: Capture) -> None:
    made = printed(capsys, "cron", "--schedule", " */15 *\n*  * * ")

    assert 'cron = "*/15 * * * *"\n' in made["clearlift.toml"]
    assert "\n*/15 * * * *  clearlift  umask 077; " in made["clearlift"]


def test_files_are_written_once_and_overwritten_only_by_force(
    tmp_path: Path, capsys: Capture
) -> None:
    arguments = ["install", "cron", "--out", str(tmp_path)]
    first = run(arguments)
    (tmp_path / "clearlift.toml").unlink()
    (tmp_path / "clearlift").write_text("mine", encoding="utf-8")

    again = run(arguments)

    assert (first, again) == (0, 2)
    assert "--force overwrites" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["clearlift"]
    assert run([*arguments, "--force"]) == 0
    assert "tick" in (tmp_path / "clearlift").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ("systemd", "--schedule", "often"),
        ("systemd", "--user", "x\nroot"),
        ("systemd", "--program", "bin/clearlift-cron"),
        ("systemd", "--program", "/home/me/bin/clearlift-cron"),
        ("systemd", "--database", "sqlite:///relative.db"),
        ("systemd", "--database", "d1://acc/db"),
        ("systemd", "--database", "sqlite:////home/me/clearlift.db"),
        ("--database", "sqlite:////var/lib/clearlift.db", "docker"),
        ("cron", "--program", "/opt/100%/clearlift-cron"),
        ("k8s", "--schedule", "0 3 */10 * 1"),
        ("k8s", "--database", "sqlite:////var/lib/clearlift.db"),
        ("k8s", "--image", 'x"\n'),
        ("k8s", "--queue", "cloudflare://a"),
        ("moon",),
    ],
)
def test_what_cannot_be_written_down_is_refused(
    arguments: tuple[str, ...], capsys: Capture
) -> None:
    assert run(["install", *arguments]) == 2
    assert not capsys.readouterr().out


def test_a_service_is_not_given_a_program_that_it_cannot_see(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/home/me/.venv/bin/python")

    run(["install", "systemd", "--json"])

    streams = capsys.readouterr()
    assert "ExecStart=/opt/clearlift/bin/clearlift-cron tick" in streams.out
    assert "services cannot run what is in /home/me/.venv/bin" in streams.err
    assert "/home/" not in streams.out


def test_no_secret_of_the_environment_gets_into_a_file(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)
    monkeypatch.setitem(os.environ, "GOOGLE_CLIENT_SECRET", "geheim-genug")

    for target in ("systemd", "cron", "k8s", "docker", "wrangler"):
        text = "".join(printed(capsys, target).values())
        assert KEY not in text
        assert "geheim" not in text
