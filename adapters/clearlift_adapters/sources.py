"""Where a setting comes from: a flag, the environment, the configuration file, or the default.

One name rules all of them: CLEARLIFT_BATCH_SIZE in the environment is `batch_size` in the file,
ENCRYPTION_KEY is `encryption_key`. A variable that is set to nothing counts as not set.

A secret comes from the variable NAME or from the file that NAME_FILE names. The configuration file
never holds one: it names the variable (`name_env`) or the file (`name_file`, relative to the
configuration file) that does, so that it can be shown, copied and committed.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from clearlift_adapters.redacted import Redacted
from clearlift_engine.errors import ConfigurationError

PREFIX: Final = "CLEARLIFT_"
CONFIG: Final = "CLEARLIFT_CONFIG"  # Where the file is: no setting of the file.
SECRET_BYTES_MAX: Final = 64 * 1024  # Whatever is longer is some other file.


class Secret(Redacted, frozen=True):
    """A value that never shows itself."""

    value: str


class Found(msgspec.Struct, frozen=True):
    """A value as it was written somewhere, and where."""

    raw: object
    origin: str


class Referred(Redacted, frozen=True):
    """What a table of the file refers to."""

    value: str | None  # None: the variable is not set.
    setting: str  # What to set, if it is missing or wrong.


class Table:
    """A table of the configuration file, which remembers the keys that it was asked for."""

    def __init__(self, values: Mapping[str, object], file: Path | None, title: str = "") -> None:
        self.values, self.file, self.title = values, file, title
        self.known: set[str] = set()

    def get(self, key: str) -> Found | None:
        """Return what stands under `key`."""
        self.known.add(key)
        value = self.values.get(key)
        return None if value is None else Found(value, f"{self.place} {key}")

    @property
    def place(self) -> str:
        """Return the file, and the table in it, as messages name them."""
        return f"{self.file} [{self.title}]" if self.title else str(self.file)

    def texts(self, key: str) -> Mapping[str, str]:
        """Return a table under `key` that holds texts and nothing else."""
        table = self.table(key)
        return {name: as_text(table.place, Found(raw, name)) for name, raw in table.values.items()}

    def table(self, key: str) -> "Table":
        """Return the table under `key`, an empty one if there is none."""
        found = self.get(key)
        title = f"{self.title}.{key}" if self.title else key
        if found is None:
            return Table({}, self.file, title)
        try:
            values = msgspec.convert(found.raw, dict[str, object])
        except msgspec.ValidationError:
            wanted = f"{found.origin} must be a table: write [{title}]"
            raise ConfigurationError(wanted) from None
        return Table(values, self.file, title)

    def refuse_unknown(self, known: Collection[str] = ()) -> None:
        """Raise ConfigurationError for the first key that is not `known`, nor was asked for."""
        self.known.update(known)
        for key in self.values:
            if key not in self.known:
                raise ConfigurationError(f"{self.place} has no setting {key!r}{self._hint(key)}")

    def _hint(self, key: str) -> str:
        spelt_here = file_key(key.upper())
        if spelt_here in self.known:  # As in the environment, perhaps.
            return f": write it as {spelt_here}"
        near = nearest(key, self.known)
        return "" if near is None else f": did you mean {near!r}?"


class Sources:
    """Everywhere that a setting can come from, in order of precedence."""

    def __init__(
        self, flags: Mapping[str, str], environment: Mapping[str, str], file: Table
    ) -> None:
        self.file = file
        self.origins: dict[str, str] = {}
        self.secret_files: dict[str, Path] = {}  # By what names them.
        self._flags, self._environment = flags, environment
        self._lent: set[str] = set()  # Variables that the file names.

    def text(self, name: str, default: str) -> str:
        """Return a setting that is any text."""
        found = self._find(name)
        return default if found is None else as_text(name, found)

    def optional(self, name: str) -> str | None:
        """Return a setting that may be left out."""
        return self.text(name, "") or None

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return a setting that is a whole number."""
        found = self._find(name)
        if found is None:
            return default
        return int(as_number(name, found, least=least, most=most, whole=True))

    def percent(self, name: str, default: float) -> float:
        """Return a setting that is a percentage: 10, "10" and "10%" are ten in a hundred."""
        found = self._find(name)
        if found is None:
            return default
        if isinstance(found.raw, str):
            found = Found(found.raw.strip().removesuffix("%"), found.origin)
        return as_number(name, found, least=0, most=100)

    def environment_only(self, name: str) -> Found | None:
        """Return a variable that the file has no word for."""
        value = self._environment.get(name)
        if not value:
            self.origins[name] = "default"
            return None
        self.origins[name] = "environment"
        return Found(value, name)

    def secret(self, name: str) -> Secret | None:
        """Return a secret, if it is set anywhere."""
        found = self._referred(name, self.file, file_key(name), in_clear=False)
        return None if found is None else Secret(as_text(name, found))

    def credential(self, name: str) -> str | None:
        """Return what belongs to a secret without being one: it may stand in the file."""
        found = self._referred(name, self.file, file_key(name), in_clear=True)
        return None if found is None else as_text(name, found)

    def referred(self, table: Table, key: str, *, in_clear: bool) -> "Referred":
        """Return what a table of the file names by `key_env` or `key_file`, or holds itself.

        Raises:
            ConfigurationError: the table has none of them, or more than one.
        """
        ends = ("", "_env", "_file") if in_clear else ("_env", "_file")
        found = self._of_file(table, key, in_clear=in_clear)
        if all(key + end not in table.values for end in ends):
            wanted = " or ".join(key + end for end in ends)
            raise ConfigurationError(f"{table.place} needs {wanted}")
        variable = table.values.get(f"{key}_env")
        setting = f"{table.place} {key}" if variable is None else str(variable)
        return Referred(None if found is None else as_text(found.origin, found), setting)

    def unknown(self) -> Sequence[str]:
        """Return a complaint for each variable under our prefix that nobody has asked for."""
        known = {*self.origins, CONFIG}
        ours = {n for n, text in self._environment.items() if text and n.upper().startswith(PREFIX)}
        endings = {each.removeprefix(PREFIX) for each in known if each.startswith(PREFIX)}
        complaints: list[str] = []
        for name in sorted(ours - known - self._lent):
            near = nearest(name[len(PREFIX) :], endings)
            meant = "" if near is None else f": did you mean {PREFIX}{near}?"
            complaints.append(f"{name} is set, but there is no such setting{meant}")
        return complaints

    def _find(self, name: str) -> Found | None:
        flag, value = self._flags.get(name), self._environment.get(name)
        found = self.file.get(file_key(name))
        if flag:
            found = Found(flag, f"--{file_key(name).replace('_', '-')}")
        elif value:
            found = Found(value, "environment")
        self.origins[name] = "default" if found is None else found.origin
        return found

    def _referred(self, name: str, table: Table, key: str, *, in_clear: bool) -> Found | None:
        found = self._of_file(table, key, in_clear=in_clear)
        value, path = self._environment.get(name), self._environment.get(f"{name}_FILE")
        self._lent.add(f"{name}_FILE")
        if value and path:
            raise ConfigurationError(f"{name} and {name}_FILE are both set: unset one of them")
        if value:
            found = Found(value, "environment")
        elif path:
            self._lent.add(f"{name}_FILE")
            found = Found(self._read(f"{name}_FILE", Path(path)), f"environment {name}_FILE")
        self.origins[name] = "default" if found is None else found.origin
        return found

    def _of_file(self, table: Table, key: str, *, in_clear: bool) -> Found | None:
        clear, variable, path = (table.get(key + end) for end in ("", "_env", "_file"))
        given = [found for found in (clear, variable, path) if found is not None]
        if len(given) > 1:
            raise ConfigurationError(f"{given[0].origin} and {given[1].origin} exclude each other")
        if clear is not None and not in_clear:
            raise ConfigurationError(
                f"{clear.origin} would be a secret in a file that is not secret: "
                f"write {key}_file or {key}_env and put the secret there"
            )
        if variable is not None:
            named = as_text(variable.origin, variable)
            self._lent.add(named)
            value = self._environment.get(named)
            return Found(value, variable.origin) if value else None
        if path is not None:
            folder = (table.file or Path()).parent
            file = folder / as_text(path.origin, path)
            return Found(self._read(path.origin, file), path.origin)
        return clear

    def _read(self, setting: str, path: Path) -> str:
        self.secret_files[setting] = path
        return read_secret(setting, path)


def nearest(text: str, known: Collection[str], *, alike: float = 0.6) -> str | None:
    """Return the known word that `text` is most likely meant to be, if one is as much alike."""
    from difflib import get_close_matches  # noqa: PLC0415  only a mistake pays for it

    by_lower_case = {word.lower(): word for word in sorted(known)}
    near = get_close_matches(text.lower(), by_lower_case, n=1, cutoff=alike)
    return by_lower_case[near[0]] if near else None


def file_key(name: str) -> str:
    """Return what the configuration file calls a setting."""
    return name.removeprefix(PREFIX).lower()


def read_secret(setting: str, path: Path) -> str:
    """Return what a file holds, without the newline at its end."""
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot read the file {path} that {setting} names: {exc.strerror}; "
            "correct the path, or make the file readable for this user"
        ) from exc
    text = None if len(raw) > SECRET_BYTES_MAX else _text(raw)
    if not text or not text.strip():
        what = (
            "is empty: write the secret into it, or correct the path"
            if not raw.strip()
            else "does not hold a secret, but something longer or no text: correct the path"
        )
        raise ConfigurationError(f"the file {path} that {setting} names {what}")
    return text


def _text(raw: bytes) -> str | None:
    # None, not an error raised here: a UnicodeDecodeError carries the bytes.
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None


def as_text(name: str, found: Found) -> str:
    """Return a value that must be a text."""
    if not isinstance(found.raw, str):
        raise ConfigurationError(f"{_named(name, found)} must be a text in quotes")
    return found.raw


def as_number(name: str, found: Found, *, least: float, most: float, whole: bool = False) -> float:
    """Return a value that must be a number within bounds."""
    number: float | None = None
    match found.raw:
        case bool():
            pass
        case int() | float():
            number = found.raw
        case str():
            number = _parsed(found.raw)
        case _:
            pass
    if number is None or not least <= number <= most or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise _refused(name, found, f"{kind} from {least:g} to {most:.0f}")
    return number


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


Word = TypeVar("Word", bound=str)


def as_choice(found: Found, choices: tuple[Word, ...]) -> Word:
    """Return a value that must be one of some words."""
    for choice in choices:
        if found.raw == choice:
            return choice
    raise _refused(found.origin, found, " or ".join(repr(choice) for choice in choices))


def as_truth(found: Found) -> bool:
    """Return a value that must be true or false."""
    if not isinstance(found.raw, bool):
        raise _refused(found.origin, found, "true or false")
    return found.raw


def _refused(name: str, found: Found, wanted: str) -> ConfigurationError:
    shown = str(found.raw)[:80]
    return ConfigurationError(f"{_named(name, found)} is {shown!r}: it must be {wanted}")


def _named(name: str, found: Found) -> str:
    return name if found.origin in {"environment", name} else f"{found.origin} ({name})"
