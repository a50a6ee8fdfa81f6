"""One settings file: what is wrong in it is said by key and file, and the environment has the last word."""

import pytest

from commands.settings import load_settings, refuse_database_credentials, without_databases
from contract.errors import SettingsError

DSN = "postgresql://sillok:geheim@db.internal/sillok"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No `sillok.toml` of the surroundings is read."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "my.toml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_defaults_need_no_file():
    """Everything has a value that works on one machine."""
    settings = load_settings(None, {})
    assert (settings.serve.port, settings.data.folder, settings.load.dsn) == (7070, "./sillok-data", "")
    assert str(settings.spool_folder()) == "sillok-data/spool"
    assert settings.located_spool().folder == "sillok-data/spool"


def test_a_file_overrides_the_defaults(write):
    """Sections are composed: what is not said keeps its default."""
    settings = load_settings(write('[serve]\nport = 8080\n[spool]\nfolder = "/srv/spool"\n'), {})
    assert (settings.serve.port, settings.serve.admin_port) == (8080, 7071)
    assert str(settings.spool_folder()) == "/srv/spool"


def test_the_file_is_found_by_name_variable_or_place(write):
    """`--config`, then SILLOK_CONFIG, then ./sillok.toml."""
    write("[serve]\nport = 1\n", "sillok.toml")
    by_variable = write("[serve]\nport = 2\n", "variable.toml")
    by_option = write("[serve]\nport = 3\n", "option.toml")
    ports = [
        load_settings(None, {}).serve.port,
        load_settings(None, {"SILLOK_CONFIG": by_variable}).serve.port,
        load_settings(by_option, {"SILLOK_CONFIG": by_variable}).serve.port,
    ]
    assert ports == [1, 2, 3]


def test_write_keys_are_read(write):
    """An array of tables, each with its own defaults."""
    text = '[[serve.keys]]\nkey = "k1"\nsource = "web"\norigins = ["https://www.example.com"]\n'
    [key] = load_settings(write(text), {}).serve.keys
    assert (key.key, key.source, key.kind, key.origins) == ("k1", "web", "browser", ("https://www.example.com",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[spool]\nsegment_age = 5\n", ["[spool]", "segment_age"]),
        ("[spol]\n", ["[top level]", "spol"]),
        ('[[serve.keys]]\nkey = "a"\nsource = "b"\norigin = "c"\n', ["[serve.keys[0]]", "origin"]),
        ('[serve]\nport = "7070"\n', ["[serve.port]", "`int`", "`str`"]),
        ("[serve]\nport = true\n", ["[serve.port]", "`int`", "`bool`"]),
        ("[data]\nfolder = 5\n", ["[data.folder]", "`str`", "`int`"]),
        ("serve = 5\n", ["[serve]", "`int`"]),
        ('[[serve.keys]]\nkey = "a"\n', ["[serve.keys[0]]", "`source`", "missing"]),
        ('[[serve.keys]]\nkey = "a"\nsource = "b"\nkind = "phone"\n', ["[serve.keys[0].kind]"]),
        ("[serve\n", ["is not valid TOML"]),
    ],
)
def test_a_mistake_in_the_file_is_named(write, text, words):
    """The sentence names the file, the section and the key."""
    path = write(text)
    with pytest.raises(SettingsError) as error:
        load_settings(path, {})
    for word in [path, *words]:
        assert word in str(error.value)


def test_a_missing_file_is_named():
    """A file that was asked for must be there."""
    with pytest.raises(SettingsError, match=r"cannot read the settings file nowhere\.toml: No such file"):
        load_settings("nowhere.toml", {})


def test_the_environment_overrides_the_file(write):
    """One key at a time; the rest of the section stands as it is in the file."""
    path = write("[spool]\nsegment_age_ms = 1\nheartbeat_ms = 2\n")
    environment = {
        "SILLOK_SPOOL_SEGMENT_AGE_MS": "500",
        "SILLOK_SPOOL_ARCHIVE_GRACE_DAYS": "0.5",
        "SILLOK_DATA_FOLDER": "/srv/sillok",
        "SILLOK_LOAD_DSN": DSN,
        "SILLOK_SERVE_QUERY_VALUES_KEPT": '["page", "tab"]',
        "HOME": "/root",
    }
    settings = load_settings(path, environment)
    assert (settings.spool.segment_age_ms, settings.spool.heartbeat_ms) == (500, 2)
    assert settings.spool.archive_grace_days == 0.5
    assert (settings.data.folder, settings.load.dsn) == ("/srv/sillok", DSN)
    assert settings.serve.query_values_kept == ("page", "tab")


@pytest.mark.parametrize("folder", ["2026", "2026-11-22", "true", "1.5", "a=b", "'quoted'"])
def test_a_text_in_the_environment_may_look_like_anything(folder):
    """A folder named like a number, a date or a truth value is still a folder."""
    expected = folder.strip("'")
    assert load_settings(None, {"SILLOK_DATA_FOLDER": folder}).data.folder == expected


@pytest.mark.parametrize("name", ["SILLOK_SPOOL_SEGMENT_AGE", "SILLOK_SPOL_FOLDER", "SILLOK_PORT", "SILLOK_"])
def test_an_unknown_variable_is_named(name):
    """A typo in a variable would otherwise be a setting that silently does nothing."""
    with pytest.raises(SettingsError, match=f"the environment: {name} is no setting; it reads SILLOK_<SECTION>_<KEY>"):
        load_settings(None, {name: "1"})


def test_a_wrong_type_in_the_environment_is_named():
    """The section and key tell which variable it was."""
    with pytest.raises(SettingsError) as error:
        load_settings(None, {"SILLOK_SERVE_PORT": "seven"})
    assert str(error.value) == "the environment: [serve.port] expected `int`, got `str`"


def test_serve_refuses_a_dsn_in_its_file(write):
    """The collector, which attackers may reach, must not know where the database is."""
    settings = load_settings(write(f'[load]\ndsn = "{DSN}"\n[migrate]\ndsn = "{DSN}"\n'), {})
    with pytest.raises(SettingsError) as error:
        refuse_database_credentials(settings, {})
    assert "[load] dsn, [migrate] dsn" in str(error.value)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["PGHOST", "PGHOSTADDR", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "DATABASE_URL"]
)
def test_serve_refuses_what_libpq_would_read(name):
    """Credentials in the environment are credentials too."""
    with pytest.raises(SettingsError, match=f"finds {name}: give the collector a settings file of its own"):
        refuse_database_credentials(load_settings(None, {}), {name: "x"})


def test_serve_without_credentials_starts():
    """An empty environment and the defaults are fine."""
    refuse_database_credentials(load_settings(None, {}), {"PATH": "/bin", "PGHOST": ""})


def test_the_collectors_settings_hold_no_dsn(write):
    """What is handed to a worker cannot name the database."""
    text = f'[load]\ndsn = "{DSN}"\n[process]\ndsn = "{DSN}"\n[migrate]\ndsn = "{DSN}"\n[serve]\nport = 5\n'
    settings = without_databases(load_settings(write(text), {}))
    assert (settings.load.dsn, settings.process.dsn, settings.migrate.dsn, settings.serve.port) == ("", "", "", 5)


def test_a_password_never_shows(write):
    """Settings may be printed: a DSN in them is three dots."""
    text = f'[load]\ndsn = "{DSN}"\n[process]\ndsn = "{DSN}"\n[migrate]\ndsn = "{DSN}"\n'
    assert "geheim" not in repr(load_settings(write(text), {}))
