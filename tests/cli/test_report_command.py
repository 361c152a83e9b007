"""`clearlift-cron report`: a page in one file, and what it must not hold."""

from clearlift_adapters.cli.report import FILE
from tests.cli.program import KEY, Program

SECRET = "geheim-und-lang"


def test_report_writes_one_private_file_and_says_where(program: Program) -> None:
    program.seed.add_connection("well", platform="stripe")
    program.run("tick")
    before = program.rows("runs")

    ended = program.run("report")

    file = program.folder / FILE
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"All is well: the page is {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "<h1" in file.read_text(encoding="utf-8")
    assert program.rows("runs") == before


def test_report_says_in_json_what_fires(program: Program) -> None:
    program.seed.add_connection("c", platform="pinterest", expires_at="2026-10-10T11:00:00Z")
    program.run("tick")

    ended = program.run("report", "--json", "--out", "page.html")

    assert ended.json == {
        "file": "page.html",
        "verdict": "One thing needs attention",
        "firing": ["error_rate"],
    }


def test_page_goes_to_stdout_if_asked(program: Program) -> None:
    ended = program.run("report", "--out", "-")

    assert ended.code == 0
    assert ended.out.startswith("<!DOCTYPE html>")
    assert "No tick in the last day" in ended.out
    assert not (program.folder / FILE).exists()
    assert program.run("report", "--out", "-", "--json").code == 2


def test_page_of_a_connection_tells_its_life_with_reasons(program: Program) -> None:
    odd = "o'hara <b>\"&\n%"
    program.seed.add_connection(odd, platform="stripe", account_name="<script>x</script>")
    program.run("tick")

    ended = program.run("report", "--connection", odd, "--out", "-")

    assert ended.code == 0
    assert "never synced before" in ended.out
    assert "its job waits for the relay" in ended.out
    assert "&lt;script&gt;x&lt;/script&gt;" in ended.out
    assert "<script" not in ended.out
    assert "<b>" not in ended.out


def test_unknown_connection_and_unwritable_file_are_refused(program: Program) -> None:
    unknown = program.run("report", "--connection", "nobody")
    unwritable = program.run("report", "--out", "no/such/folder.html")

    assert unknown.code == 2
    assert "there is no connection 'nobody'" in unknown.err
    assert unwritable.code == 4
    assert "cannot write the page to no/such/folder.html" in unwritable.said[0]
    assert not (program.folder / FILE).exists()


def test_a_link_that_leads_nowhere_is_not_written_through(program: Program) -> None:
    (program.folder / "page.html").symlink_to(program.folder / "beside")

    assert program.run("report", "--out", "page.html").code == 4
    assert not (program.folder / "beside").exists()


def test_no_secret_is_on_any_page(program: Program) -> None:
    tokens = f"{SECRET}-access\n{SECRET}-refresh\n"
    key = {"ENCRYPTION_KEY": KEY, "GOOGLE_CLIENT_SECRET": f"{SECRET}-client"}
    arguments = ("connections", "add", "google", "--organization", "acme", "--account-id", "1")
    added = program.run(*arguments, "--json", stdin=tokens, **key)
    program.run("tick", **key)
    sealed = [row["credentials_encrypted"] for row in program.rows("platform_connections")]

    report = program.run("report", "--out", "-", **key).out
    life = program.run("report", "--connection", added.json["id"], "--out", "-", **key).out

    for page in (report, life):
        assert not [secret for secret in (SECRET, KEY, *sealed) if str(secret) in page]
    assert "has access token" in life


def test_a_life_is_told_newest_first(program: Program) -> None:
    program.seed.add_connection("c", platform="stripe", is_active=0)
    program.run("pause", "c", "--reason", "the first")
    program.run("resume", "c", "--reason", "the second")

    page = program.run("report", "--connection", "c", "--out", "-").out

    assert page.count("<li>") == 2
    assert page.index("the second") < page.index("the first")
