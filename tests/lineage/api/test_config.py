"""A project's settings: where they come from, which wins, and what is refused."""

from __future__ import annotations

import getpass
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lineal.alerts.rules import Alert
from lineal.api.config import Configuration, InvalidConfiguration, find_root, load_configuration
from lineal.automation.cron import Cron
from lineal.automation.moments import Every
from lineal.automation.schedule import Event, Schedule
from lineal_store import Place

SAMPLE = """
[tool.lineal]
store = "s3://ml/churn"
upstream = ["s3://team/all", "../team-store"]
pipelines = ["flights.py:flights"]
executor = "inline"
namespace = "dev"
strict = true
cache = "../cache"
cache_limit = "2.5 GB"
single_writer = true
page = "https://ml.example.org/lineal"
limits = { warehouse = 2, "*" = 8 }

[tool.lineal.profiles.production]
namespace = "production"

[[tool.lineal.alerts]]
to = "mailto:team@example.org"
on = ["failed", "recovered", "late"]

[[tool.lineal.schedules]]
name = "nightly"
pipeline = "flights.py:flights"
cron = "30 2 * * *"
timezone = "Europe/Berlin"
gap = "shift"
overlap = "once"
catch_up = "latest"
when_running = "queue"
logical_date_offset = "-1d"
parameters = { learning_rate = 0.1 }

[[tool.lineal.schedules]]
name = "on data"
pipeline = "flights.py:flights"
on = { path = "s3://raw/*.parquet" }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("", "utf-8")
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, "utf-8")


def load(
    project: Path,
    *,
    profile: str | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    return load_configuration(project, profile=profile, overrides=overrides, environ=environ or {})


def mistakes(project: Path, **given: Mapping[str, object]) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        load(project, **given)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_root_is_the_nearest_folder_with_a_project_file(project: Path) -> None:
    inner = project / "a" / "b"
    inner.mkdir(parents=True)

    assert find_root(inner) == project
    assert find_root(inner / "flights.py") == project

    write(project / "a", "lineal.toml", "")
    assert find_root(inner) == project / "a"


def test_without_a_project_file_the_root_is_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "flights.py").touch()

    assert find_root(tmp_path / "flights.py") == tmp_path
    assert find_root(tmp_path) == tmp_path


def test_everything_has_a_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    configuration = load(project)

    assert configuration == Configuration(
        root=project,
        store=str(project / ".lineal" / "store"),
        namespace="ada",
        cache=str(Path("~/.cache/lineal/stores").expanduser()),
        cache_limit_bytes=10_000_000_000,
        origins=configuration.origins,
    )
    assert set(configuration.origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("user", "namespace"),
    [("DOMAIN\\ada", "DOMAIN-ada"), ("production", "dev"), ("..", "dev"), (None, "dev")],
)
def test_the_default_namespace_is_the_users_name_and_never_production(
    project: Path, monkeypatch: pytest.MonkeyPatch, user: str | None, namespace: str
) -> None:
    def getuser() -> str:
        if user is None:
            raise OSError("no such user")
        return user

    monkeypatch.setattr(getpass, "getuser", getuser)

    assert load(project).namespace == namespace


def test_every_documented_setting_is_read(project: Path) -> None:
    write(project, "pyproject.toml", SAMPLE)

    configuration = load(project)

    assert configuration == Configuration(
        root=project,
        store="s3://ml/churn",
        upstream=("s3://team/all", str(project.parent / "team-store")),
        pipelines=("flights.py:flights",),
        executor="inline",
        namespace="dev",
        strict=True,
        cache=str(project.parent / "cache"),
        cache_limit_bytes=2_500_000_000,
        single_writer=True,
        page="https://ml.example.org/lineal",
        limits={"warehouse": 2, "*": 8},
        alerts=({"to": "mailto:team@example.org", "on": ["failed", "recovered", "late"]},),
        schedules=configuration.schedules,
        origins=configuration.origins,
    )
    assert configuration.origins["strict"] == "pyproject.toml"


def test_the_store_is_opened_as_configured(project: Path) -> None:
    write(project, "pyproject.toml", SAMPLE)

    assert load(project).place == Place(
        "s3://ml/churn",
        upstream=("s3://team/all", str(project.parent / "team-store")),
        cache=str(project.parent / "cache"),
        cache_limit_bytes=2_500_000_000,
        single_writer=True,
    )


@pytest.mark.parametrize(
    ("text", "size"), [("1 KB", 1000), ("500MB", 500_000_000), ("1.5 tb", 1_500_000_000_000), ("0 GB", 0)]
)
def test_sizes_are_decimal(project: Path, text: str, size: int) -> None:
    assert load(project, environ={"LINEAL_CACHE_LIMIT": text}).cache_limit_bytes == size


@pytest.mark.parametrize("text", ["10", "ten GB", "-1 GB", "1e9 GB", "10 XB"])
def test_a_size_that_says_nothing_is_refused(project: Path, text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="expected a size such as 500 MB"):
        load(project, environ={"LINEAL_CACHE_LIMIT": text})


def test_the_cache_can_be_somewhere_else_or_nowhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ada")

    assert load(project).cache == "/var/cache/ada/lineal/stores"
    assert load(project, environ={"LINEAL_CACHE": "off"}).cache is None
    assert load(project, environ={"LINEAL_CACHE": "copies"}).cache == str(project / "copies")


def test_lineal_toml_takes_the_same_settings_without_the_prefix(tmp_path: Path) -> None:
    write(tmp_path, "lineal.toml", SAMPLE.replace("[tool.lineal]", "").replace("tool.lineal.", ""))

    assert load(tmp_path, profile="production").namespace == "production"
    assert load(tmp_path).executor == "inline"


def test_each_source_overrides_the_one_before(project: Path) -> None:
    layers = [
        "pyproject.toml",
        "lineal.toml",
        "lineal.local.toml",
        "lineal.toml [profiles.x]",
        "LINEAL_NAMESPACE",
    ]
    seen = []

    write(project, "pyproject.toml", '[tool.lineal]\nnamespace = "1"')
    seen.append(load(project))
    write(project, "lineal.toml", 'namespace = "2"\n[profiles.x]\nnamespace = "4"')
    seen.append(load(project))
    write(project, "lineal.local.toml", 'namespace = "3"')
    seen.append(load(project))
    seen.append(load(project, profile="x"))
    seen.append(load(project, profile="x", environ={"LINEAL_NAMESPACE": "5"}))
    seen.append(load(project, environ={"LINEAL_NAMESPACE": "5"}, overrides={"namespace": "6"}))

    assert [configuration.namespace for configuration in seen] == ["1", "2", "3", "4", "5", "6"]
    assert [configuration.origins["namespace"] for configuration in seen] == [*layers, "flags"]


def test_the_sizes_of_groups_are_those_of_all_files_and_of_one_group_the_last(project: Path) -> None:
    write(project, "pyproject.toml", '[tool.lineal]\nlimits = { warehouse = 2, "*" = 8 }')
    write(project, "lineal.toml", "[profiles.night.limits]\nwarehouse = 6")
    write(project, "lineal.local.toml", "limits = { gpu = 1, warehouse = 1 }")

    assert load(project).limits == {"warehouse": 1, "*": 8, "gpu": 1}
    assert load(project, profile="night").limits == {"warehouse": 6, "*": 8, "gpu": 1}


def test_a_profile_can_be_chosen_by_a_variable(project: Path) -> None:
    write(project, "pyproject.toml", SAMPLE)

    configuration = load(project, environ={"LINEAL_PROFILE": "production"})

    assert (configuration.profile, configuration.namespace) == ("production", "production")


def test_variables_are_read_by_the_type_of_their_setting(project: Path) -> None:
    environ = {"LINEAL_STRICT": "1", "LINEAL_UPSTREAM": "s3://a, s3://b", "LINEAL_STORE": "elsewhere"}

    configuration = load(project, environ=environ)

    assert configuration.strict is True
    assert configuration.upstream == ("s3://a", "s3://b")
    assert configuration.store == str(project / "elsewhere")


def test_empty_and_foreign_variables_are_left_alone(project: Path) -> None:
    configuration = load(project, environ={"LINEAL_STORE": "", "LINEAL_SOMETHING_ELSE": "x", "STORE": "y"})

    assert configuration.origins["store"] == "default"


def test_a_misspelt_variable_is_refused(project: Path) -> None:
    problem = mistakes(project, environ={"LINEAL_NAMESAPCE": "production"})

    assert problem == "LINEAL_NAMESAPCE: no such variable; did you mean LINEAL_NAMESPACE?"


def test_flags_that_were_not_given_change_nothing(project: Path) -> None:
    assert load(project, overrides={"store": None}).origins["store"] == "default"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.lineal]\nstor = 1", "pyproject.toml [tool.lineal]: unknown key stor; did you mean store?"),
        ("[tool.lineal]\nstore = 1", "pyproject.toml [tool.lineal]: store: expected text, got 1"),
        ('[tool.lineal]\nstrict = "yes"', 'strict: expected true or false, got "yes"'),
        ('[tool.lineal]\npipelines = "a.py:b"', "pipelines: expected a list of texts"),
        ('[tool.lineal]\nnamespace = "a/b"', "namespace: expected a name of letters"),
        (
            "[tool.lineal.profiles.x]\nnamespac = 1",
            "unknown key profiles.x.namespac; did you mean namespace?",
        ),
        ('[tool.lineal]\nalerts = "me"', "alerts: expected an array of tables"),
        ("[[tool.lineal.alerts]]\nwhen = []", "unknown key alerts[1].when"),
        ("[[tool.lineal.alerts]]\non = []", "alerts[1]: to is missing"),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\non = ['faild', 'late']",
            "alerts[1].on: no occasion 'faild'; did you mean failed?",
        ),
        ("[[tool.lineal.alerts]]\nto = 'htps://x'", "alerts[1].to: expected https://…, mailto:"),
        ("[[tool.lineal.alerts]]\nto = 'slak://T/B/X'", "did you mean slack?"),
        ("[[tool.lineal.alerts]]\nto = 'somebody'", "alerts[1].to: expected https://…, mailto:"),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nrepeat = '4 fortnights'",
            "alerts[1].repeat: expected a duration",
        ),
        ("[[tool.lineal.alerts]]\nto = 'command:x'\nrepeat = 4", "alerts[1].repeat: expected a duration"),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nhourly = 0",
            "alerts[1].hourly: expected a whole number from 1",
        ),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nhourly = 1.5",
            "alerts[1].hourly: expected a whole number from 1",
        ),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nslower = 0.5",
            "alerts[1].slower: expected a number from 1",
        ),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nslower = true",
            "alerts[1].slower: expected a number from 1",
        ),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nslower = nan",
            "alerts[1].slower: expected a number from 1",
        ),
        ("[[tool.lineal.alerts]]\nto = 'command:x'\non = ['stale']", "alerts[1]: max_age is missing"),
        (
            "[[tool.lineal.alerts]]\nto = 'command:x'\nmax_age = { x = 'old' }",
            "alerts[1].max_age: expected a duration for each address",
        ),
        ("[tool.lineal]\npage = 'ml.example.org'", "page: expected https://… or http://…"),
        ("[tool.lineal]\npage = 'https://ada:pw@ml.example.org'", "page: expected https://… or http://…"),
        ("[[tool.lineal.alerts]]\nto = 'command:x'\non = 'failed'", "alerts[1].on: expected a list of texts"),
        ("[[tool.lineal.schedules]]\ncorn = ''", "unknown key schedules[1].corn; did you mean cron?"),
        (
            "[[tool.lineal.schedules]]\non = { pth = 'x' }",
            "unknown key schedules[1].on.pth; did you mean path?",
        ),
        ("[[tool.lineal.schedules]]\ncron = '@daily'", "schedules[1]: name is missing"),
        (
            "[[tool.lineal.schedules]]\ngap = 'leap'",
            'schedules[1].gap: expected "shift" or "skip", got "leap"',
        ),
        ("[tool.lineal]\nlimits = 3", "limits: expected a whole number from 1 for each group"),
        ("[tool.lineal]\nlimits = { w = 0 }", "limits: expected a whole number from 1 for each group"),
        ("[tool.lineal]\nlimits = { w = true }", "limits: expected a whole number from 1 for each group"),
        ("[tool.lineal.profiles.x]\nlimits = { w = '2' }", "profiles.x.limits: expected a whole number"),
        ("[tool]\nlineal = 3", "expected a table, got 3"),
        ("[tool.lineal", "pyproject.toml: is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file_and_key(project: Path, text: str, problem: str) -> None:
    write(project, "pyproject.toml", text)

    assert problem in mistakes(project)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secret = 'hunter2'", "alerts[1].secret: expected the variable that holds it"),
        ("smtp = 'smtp://ada:hunter2@mail'", "alerts[1].smtp: expected smtp://host:587"),
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_shown(project: Path, text: str, problem: str) -> None:
    write(project, "pyproject.toml", f"[[tool.lineal.alerts]]\nto = 'command:x'\n{text}")

    assert problem in (told := mistakes(project))
    assert "hunter2" not in told


def test_alerts_are_those_of_the_strongest_file_that_has_any(project: Path) -> None:
    write(project, "pyproject.toml", SAMPLE)
    assert [Alert.of(table) for table in load(project).alerts] == [
        Alert("mailto:team@example.org", ("failed", "recovered", "late"))
    ]

    write(project, "lineal.local.toml", "alerts = []")
    assert load(project).alerts == ()


@pytest.mark.parametrize(
    "to",
    [
        "https://hooks.example/x",
        "HTTP://localhost",
        "mailto:a@example.org",
        "slack://T/B/X",
        "pagerduty://k",
        "discord://id/${TOKEN}",
        "mailtos://ada@example.org",
        "${HOOK}",
    ],
)
def test_an_alert_takes_any_kind_of_address(project: Path, to: str) -> None:
    settings = 'smtp = "smtps://mail:465"\nsender = "ml@example.org"\nsecret = "${KEY}"\nallow_local = true'
    write(project, "lineal.toml", f"[[alerts]]\nto = '{to}'\n{settings}")

    (table,) = load(project).alerts

    assert Alert.of(table) == Alert(to, Alert(to).on, "smtps://mail:465", "ml@example.org", "${KEY}", True)


def test_schedules_are_those_of_the_strongest_file_that_has_any(project: Path) -> None:
    write(project, "pyproject.toml", SAMPLE)
    nightly, on_data = (Schedule.of(table) for table in load(project).schedules)

    assert nightly == Schedule(
        "nightly",
        Cron.parse("30 2 * * *"),
        "flights.py:flights",
        ZoneInfo("Europe/Berlin"),
        logical_date_offset_days=-1,
        parameters={"learning_rate": 0.1},
    )
    assert on_data.when == Event("path", "s3://raw/*.parquet")

    write(project, "lineal.local.toml", "schedules = []")
    assert load(project).schedules == ()


def test_every_key_of_a_schedule_is_read(project: Path) -> None:
    write(
        project,
        "lineal.toml",
        """
        [[schedules]]
        name = "often"
        every = "6h"
        timezone = "Africa/Cairo"
        gap = "skip"
        overlap = "both"
        catch_up = "all"
        when_running = "cancel"
        jitter = "90s"
        start = 2026-01-01
        end = "2027-01-01T12:00Z"

        [[schedules]]
        name = "hook"
        on = { webhook = "labels", secret = "${LABELS_SECRET}" }
        """,
    )

    often, hook = (Schedule.of(table) for table in load(project).schedules)

    assert often == Schedule(
        "often",
        Every("6h", 21600),
        None,
        ZoneInfo("Africa/Cairo"),
        "skip",
        "both",
        "all",
        "cancel",
        jitter_seconds=90,
        start=datetime(2025, 12, 31, 22, tzinfo=UTC),
        end=datetime(2027, 1, 1, 12, tzinfo=UTC),
    )
    assert hook.when == Event("webhook", "labels", "${LABELS_SECRET}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cron = '30 25 * * *'", "schedules[1].cron: hour: '25' is not a number from 0 to 23"),
        ("cron = '0 0 30 2 *'", "schedules[1].cron: day of month: no month of '2' has a day 30"),
        ("cron = ''", "schedules[1].cron: expected a cron expression"),
        ("every = '250ms'", "schedules[1].every: '250ms' is no duration of whole seconds"),
        ("every = 6", "schedules[1].every: expected a duration"),
        ("", "schedules[1]: it says nowhere when it runs; one of cron, every and on is needed"),
        (
            "cron = '@daily'\nevery = '1d'",
            "schedules[1]: cron and every are given; one of cron, every and on is needed",
        ),
        (
            "cron = '@daily'\ntimezone = 'Europe/Berln'",
            "schedules[1].timezone: there is no time zone Europe/Berln; did you mean Europe/Berlin?",
        ),
        ("cron = '@daily'\njitter = 'some'", "schedules[1].jitter: 'some' is no duration of whole seconds"),
        ("cron = '@daily'\nstart = 'soon'", "schedules[1].start: 'soon' is no date or time"),
        (
            "cron = '@daily'\nstart = 2026-01-02\nend = 2026-01-01",
            "schedules[1]: it ends before it starts",
        ),
        (
            "cron = '@daily'\nlogical_date_offset = '-1h'",
            'schedules[1].logical_date_offset: expected days such as "-1d", got "-1h"',
        ),
        ("on = {}", "schedules[1].on: nothing is named; one of path, ref, pipeline and webhook is needed"),
        (
            "on = { path = 'a', ref = 'b' }",
            "schedules[1].on: path and ref are two events; one of path, ref, pipeline and webhook is needed",
        ),
        ("on = { ref = 'a', by = 'content' }", "schedules[1].on: by says how data at a path is compared"),
        ("on = { webhook = 'a' }", "schedules[1].on: a webhook needs a secret to be signed with"),
        ("on = { ref = 'a', secret = '${B}' }", "schedules[1].on: secret signs a webhook"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_refused_with_what_is_wrong(
    project: Path, text: str, problem: str
) -> None:
    write(project, "lineal.toml", f"[[schedules]]\nname = 'x'\n{text}")

    assert mistakes(project).startswith(f"lineal.toml: {problem}")


def test_a_webhooks_secret_in_a_file_is_refused_and_not_shown(project: Path) -> None:
    write(project, "lineal.toml", "[[schedules]]\nname = 'x'\non = { webhook = 'a', secret = 'hunter2' }")

    assert "schedules[1].on.secret: expected the variable that holds it" in (told := mistakes(project))
    assert "hunter2" not in told


def test_two_schedules_of_one_name_are_refused(project: Path) -> None:
    write(project, "lineal.toml", "[[schedules]]\nname = 'x'\ncron = '@daily'\n" * 2)

    assert mistakes(project) == "lineal.toml: schedules[2].name: 'x' is schedules[1] already"


def test_an_alert_says_how_often_it_is_told_and_what_is_slow_late_or_stale(project: Path) -> None:
    settings = (
        'repeat = "1d"\nhourly = 5\nslower = 1.5\ngrace = "30m"\nmax_age = { "flights@latest" = "26h" }'
    )
    write(project, "lineal.toml", f"[[alerts]]\nto = 'command:x'\non = ['stale', 'slow']\n{settings}")
    (alert,) = map(Alert.of, load(project).alerts)

    assert (alert.repeat, alert.hourly, alert.slower, alert.grace) == (86_400.0, 5, 1.5, 1800.0)
    assert alert.max_age == {"flights@latest": 93_600.0}


def test_all_mistakes_of_all_sources_are_reported_at_once(project: Path) -> None:
    write(project, "pyproject.toml", "[tool.lineal]\nstor = 1\nstrict = 2")
    write(project, "lineal.local.toml", "executer = 'inline'")

    problem = mistakes(project, environ={"LINEAL_STRICT": "perhaps"})

    assert problem.splitlines() == [
        "4 mistakes in the configuration",
        "  pyproject.toml [tool.lineal]: unknown key stor; did you mean store?",
        "  pyproject.toml [tool.lineal]: strict: expected true or false, got 2",
        "  lineal.local.toml: unknown key executer; did you mean executor?",
        '  LINEAL_STRICT: expected true or false, got "perhaps"',
    ]


def test_an_unknown_profile_is_refused_with_those_there_are(project: Path) -> None:
    write(project, "pyproject.toml", SAMPLE)

    with pytest.raises(InvalidConfiguration, match="--profile: no profile 'prod'; did you mean production"):
        load(project, profile="prod")
    with pytest.raises(InvalidConfiguration, match="no profile 'x'; there are production"):
        load(project, profile="x")


def test_the_error_survives_pickling(project: Path) -> None:
    error = InvalidConfiguration("what", "hint")

    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), copy.hint, copy.kind) == ("what", "hint", "configuration")
