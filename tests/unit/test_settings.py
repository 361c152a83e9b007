"""Settings: which source wins, what is refused and in what words, and that no secret shows."""

from pathlib import Path

import pytest

from clearlift_adapters.settings import Settings, iso_time, load_settings
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.policy import Schedule
from tests.given import NOW_MS

DECLARED = """
[providers.acme]
token_url = "https://acme.example/token"
client_id = "we"
client_secret_env = "ACME_SECRET"
auth = "basic"
requests_per_second = 4
rotates = false
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder: ./clearlift.toml is read where it is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(text: str, **environment: str) -> Settings:
    """Return the settings with a configuration file of this text."""
    file = Path("clearlift.toml")
    file.write_text(text, encoding="utf-8")
    return load_settings({}, environment)


def complaint(text: str = "", **environment: str) -> str:
    """Return what is said against a file and an environment."""
    with pytest.raises(ConfigurationError) as caught:
        configured(text, **environment)
    return str(caught.value)


def test_nothing_set_means_the_documented_defaults() -> None:
    settings = load_settings({}, {})

    assert settings.database == "sqlite:///clearlift.db"
    assert settings.queue is None
    assert settings.schedule == Schedule()
    assert (settings.batch_size, settings.fail_threshold_percent) == (500, 10)
    assert settings.cloudflare_api_base_url == "https://api.cloudflare.com/client/v4"
    assert set(settings.origins.values()) == {"default"}


def test_a_flag_beats_the_environment_which_beats_the_file() -> None:
    Path("clearlift.toml").write_text('database = "d1://file"\nbatch_size = 7', encoding="utf-8")
    environment = {"CLEARLIFT_DATABASE": "d1://environment"}

    both = load_settings({"CLEARLIFT_DATABASE": "d1://flag"}, environment)
    one = load_settings({}, environment)
    none = load_settings({}, {})

    found = [settings.database for settings in (both, one, none)]
    assert found == ["d1://flag", "d1://environment", "d1://file"]
    assert both.origins["CLEARLIFT_DATABASE"] == "--database"
    assert one.origins["CLEARLIFT_DATABASE"] == "environment"
    assert none.origins["CLEARLIFT_DATABASE"] == "clearlift.toml database"
    assert both.batch_size == 7


def test_a_variable_that_is_set_to_nothing_is_not_set() -> None:
    settings = configured("sync_interval = 60", CLEARLIFT_SYNC_INTERVAL="", ENCRYPTION_KEY="")

    assert settings.sync_interval_s == 60
    assert settings.encryption_key is None


def test_the_file_may_have_any_name_and_must_then_exist() -> None:
    Path("other.toml").write_text("batch_size = 7", encoding="utf-8")

    by_flag = load_settings({}, {"CLEARLIFT_CONFIG": "absent"}, Path("other.toml"))
    by_variable = load_settings({}, {"CLEARLIFT_CONFIG": "other.toml"})

    assert by_flag.batch_size == by_variable.batch_size == 7
    with pytest.raises(ConfigurationError, match=r"cannot read .* absent: No such file"):
        load_settings({}, {"CLEARLIFT_CONFIG": "absent"})


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("CLEARLIFT_BATCH_SIZE", "0", "a whole number from 1 to 10000"),
        ("CLEARLIFT_BATCH_SIZE", "10001", "a whole number from 1 to 10000"),
        ("CLEARLIFT_BATCH_SIZE", "1.5", "a whole number from 1 to 10000"),
        ("CLEARLIFT_SYNC_INTERVAL", "an hour", "a whole number from 1 to 31536000"),
        ("CLEARLIFT_REFRESH_MARGIN", "-1", "a whole number from 0 to 31536000"),
        ("CLEARLIFT_JOB_TIME_LIMIT", "inf", "a whole number from 1 to 31536000"),
        ("CLEARLIFT_FAIL_THRESHOLD", "nan", "a number from 0 to 100"),
        ("CLEARLIFT_FAIL_THRESHOLD", "101%", "a number from 0 to 100"),
    ],
)
def test_a_bad_number_is_named_with_what_it_may_be(variable: str, value: str, wanted: str) -> None:
    said = complaint(**{variable: value})

    assert said == f"{variable} is {value.removesuffix('%')!r}: it must be {wanted}"


@pytest.mark.parametrize("text", ["true", '"many"', "[1]", "1e400", f"1{'0' * 400}"])
def test_a_bad_number_in_the_file_is_named_with_its_place(text: str) -> None:
    said = complaint(f"batch_size = {text}")

    assert said.startswith("clearlift.toml batch_size (CLEARLIFT_BATCH_SIZE) is ")
    assert len(said) < 200


@pytest.mark.parametrize("text", ["0.1", '"0.1"', '"0.1%"'])
def test_the_threshold_is_a_percentage_however_it_is_written(text: str) -> None:
    assert configured(f"fail_threshold = {text}").fail_threshold_percent == 0.1


@pytest.mark.parametrize(
    "text",
    ["2026-10-10T12:00:00Z", "2026-10-10T14:00:00.000+02:00", "2026-10-10 12:00:00"],
)
def test_now_is_any_iso_8601_time_and_utc_without_a_zone(text: str) -> None:
    settings = load_settings({}, {"CLEARLIFT_NOW": text})

    assert settings.now_ms == iso_time(text) == NOW_MS


def test_now_that_is_no_time_is_refused_and_the_file_has_no_word_for_it() -> None:
    assert complaint(CLEARLIFT_NOW="noon").startswith("CLEARLIFT_NOW is 'noon': it must be")
    assert "has no setting 'now'" in complaint('now = "2026-10-10T12:00:00Z"')


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    assert complaint("batchsize = 7") == (
        "clearlift.toml has no setting 'batchsize': did you mean 'batch_size'?"
    )
    assert complaint(DECLARED.replace("client_id", "client_idd")).endswith(
        "clearlift.toml [providers.acme] has no setting 'client_idd': did you mean 'client_id'?"
    )
    assert complaint(DECLARED + "rotate = true").endswith(
        "clearlift.toml [providers.acme] has no setting 'rotate': did you mean 'rotates'?"
    )


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("CLEARLIFT_DATABASE", "write it as database"),
        ("clearlift_batch_size", "write it as batch_size"),
        ("ENCRYPTION_KEY_FILE", "write it as encryption_key_file"),
    ],
)
def test_a_setting_that_is_spelt_as_in_the_environment_is_told_its_name_here(
    key: str, hint: str
) -> None:
    assert complaint(f'{key} = "x"') == f"clearlift.toml has no setting {key!r}: {hint}"


@pytest.mark.parametrize(
    ("value", "example"),
    [
        ("foo.db", "as in sqlite:///foo.db"),
        ("/var/lib/foo.db", "as in sqlite:////var/lib/foo.db"),
        ("sqlite:foo%.db", "as in sqlite:///foo%25.db"),
        ("me:geheim@host", "as in sqlite:///clearlift.db"),
    ],
)
def test_a_database_that_is_a_path_is_answered_with_its_url(value: str, example: str) -> None:
    said = complaint(CLEARLIFT_DATABASE=value)

    assert said.startswith("CLEARLIFT_DATABASE (or --database) is not a URL")
    assert said.endswith(example)


def test_a_variable_of_ours_that_is_no_setting_is_complained_of() -> None:
    environment = {
        "CLEARLIFT_BATCHSIZE": "7",
        "CLEARLIFT_ZZZ": "geheim",
        "CLEARLIFT_EMPTY": "",
        "CLEARLIFT_CONFIG": "clearlift.toml",
        "CLEARLIFT_ACME": "geheim",
    }

    settings = configured(DECLARED.replace("ACME_SECRET", "CLEARLIFT_ACME"), **environment)

    nothing = "is set, but there is no such setting"
    assert settings.complaints == [
        f"CLEARLIFT_BATCHSIZE {nothing}: did you mean CLEARLIFT_BATCH_SIZE?",
        f"CLEARLIFT_ZZZ {nothing}",
    ]


def test_a_file_that_is_not_toml_is_refused_without_being_quoted() -> None:
    said = complaint('encryption_key = "geheim')

    assert said.startswith("the configuration file clearlift.toml is not TOML: ")
    assert "geheim" not in said


def test_a_secret_may_lie_in_a_file_that_ends_in_a_newline(folder: Path) -> None:
    (folder / "key").write_text("geheim\n", encoding="utf-8")

    settings = load_settings({}, {"ENCRYPTION_KEY_FILE": str(folder / "key")})

    assert settings.encryption_key is not None
    assert settings.encryption_key.value == "geheim"
    assert settings.origins["ENCRYPTION_KEY"] == "environment ENCRYPTION_KEY_FILE"


def test_a_secret_that_is_given_twice_is_refused() -> None:
    said = complaint(ENCRYPTION_KEY="geheim", ENCRYPTION_KEY_FILE="key")

    assert said == "ENCRYPTION_KEY and ENCRYPTION_KEY_FILE are both set: unset one of them"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "does not hold a secret"),
        (b"x" * 70_000, "does not hold a secret"),
    ],
)
def test_a_secret_file_that_holds_none_is_refused(
    folder: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (folder / "key").write_bytes(content)

    said = complaint(ENCRYPTION_KEY_FILE="key")

    assert "ENCRYPTION_KEY_FILE" in said
    assert reason in said


def test_the_configuration_file_refers_to_secrets_and_never_holds_one(folder: Path) -> None:
    (folder / "key").write_text("geheim", encoding="utf-8")

    by_file = configured('encryption_key_file = "key"')
    by_variable = configured('encryption_key_env = "KEY"', KEY="geheim")

    assert by_file.encryption_key == by_variable.encryption_key
    assert by_file.secrets == {"geheim"}
    said = complaint('encryption_key = "geheim"')
    assert "write encryption_key_file or encryption_key_env" in said
    assert "geheim" not in said


def test_previous_keys_are_several_with_commas() -> None:
    settings = load_settings({}, {"ENCRYPTION_KEY_PREVIOUS": "old, older,"})

    assert [secret.value for secret in settings.encryption_keys_previous] == ["old", "older"]


def test_no_secret_shows_when_settings_are_printed() -> None:
    secrets = {
        "ENCRYPTION_KEY": "geheim-1",
        "ENCRYPTION_KEY_PREVIOUS": "geheim-2,geheim-3",
        "CLOUDFLARE_API_TOKEN": "geheim-4",
        "GOOGLE_CLIENT_SECRET": "geheim-5",
        "ACME_SECRET": "geheim-6",
    }

    settings = configured(DECLARED, **secrets)

    assert len(settings.secrets) == 6
    assert "geheim" not in repr(settings) + str(settings)


def test_built_in_providers_take_their_client_and_another_url() -> None:
    settings = load_settings(
        {},
        {
            "TIKTOK_APP_KEY": "we",
            "TIKTOK_APP_SECRET": "geheim",
            "TIKTOK_TOKEN_URL": "http://127.0.0.1:8080/token",
        },
    )

    tiktok, google = settings.providers["tiktok"], settings.providers["google"]
    assert tiktok.problem is None
    assert tiktok.endpoint.url == "http://127.0.0.1:8080/token"
    assert google.problem == "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET are not set"


def test_plain_http_to_another_machine_is_refused() -> None:
    said = complaint(GOOGLE_TOKEN_URL="http://proxy.example/token")

    assert said.startswith("GOOGLE_TOKEN_URL is plain http to another machine")


def test_a_provider_is_declared_by_a_table_of_the_file() -> None:
    acme = configured(DECLARED, ACME_SECRET="geheim").providers["acme"]

    assert (acme.auth, acme.rotates, acme.rate.count, acme.rate.period_ms) == (
        "basic",
        False,
        1,
        250,
    )
    assert (acme.client.client_id, acme.client.client_secret) == ("we", "geheim")
    assert acme.problem is None


def test_a_declared_provider_without_its_secret_stops_itself_and_nothing_else() -> None:
    settings = configured(DECLARED)

    assert settings.providers["acme"].problem == "ACME_SECRET is not set"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('client_secret_env = "ACME_SECRET"', "", "needs client_secret_env or client_secret_file"),
        ('client_secret_env = "ACME_SECRET"', 'client_secret = "geheim"', "would be a secret"),
        ('client_id = "we"', "", "needs client_id or client_id_env or client_id_file"),
        ('token_url = "https://acme.example/token"', "", "needs token_url"),
        ("https://", "http://", "is plain http to another machine"),
        ('"basic"', '"digest"', "is 'digest': it must be 'body' or 'basic'"),
        ("= 4", "= 0", "is '0': it must be a number from 0.001 to 10000"),
        ("= false", '= "no"', "is 'no': it must be true or false"),
        ("[providers.acme]", "[providers.google]", "and set GOOGLE_CLIENT_ID, GOOGLE_CLIENT"),
        ("[providers.acme]", "[providers.stripe]", "is built in"),
    ],
)
def test_a_declaration_that_is_wrong_is_refused(old: str, new: str, reason: str) -> None:
    said = complaint(DECLARED.replace(old, new))

    assert reason in said
    assert "geheim" not in said


def test_receivers_are_secrets_that_may_come_from_files() -> None:
    Path("url").write_text("https://hooks.example/services/T0/B0/word\n", encoding="utf-8")

    settings = configured("", CLEARLIFT_SLACK_WEBHOOK_URL_FILE="url")

    assert settings.receivers.slack is not None
    assert settings.receivers.slack.url == "https://hooks.example/services/T0/B0/word"
    assert {"/services/T0/B0/word"} < set(settings.secrets)
    assert (settings.complaints, "word" in repr(settings)) == ([], False)


def test_receiver_must_be_reached_by_https() -> None:
    said = complaint(CLEARLIFT_PING_URL="http://ping.example/uuid")

    assert said.startswith("CLEARLIFT_PING_URL is plain http")
    assert "ping.example" not in said
