"""Secrets of a configuration are used, and shown to nobody."""

import json

import pytest

from bascule.config.concealed import concealed
from bascule.config.effective import effective, portable
from bascule.config.load import Text
from bascule.config.model import Config
from bascule.config.parse import parse
from bascule.config.problems import ConfigRefused, as_json

SECRET = "hunter2-hunter2-hunter2"
YAML = f"""
listeners: {{web: {{bind: 127.0.0.1:80, pool: a}}}}
pools:
  a: {{endpoints: 10.0.0.1:80, sessions: {{cookie: a, keys: {SECRET}}}}}
stores:
  one: redis://me:{SECRET}@127.0.0.1
  two: {{address: unix:/run/redis.sock, password: {SECRET}}}
"""


def config() -> Config:
    return parse(Text.of(YAML, "bascule.yaml", {}))


def test_a_configuration_that_is_printed_has_no_secrets() -> None:
    printed = json.dumps([effective(config()), portable(config(), defaults=True)])
    assert SECRET not in f"{printed} {config()!r} {config()}"
    assert json.loads(printed)[0]["stores"]["one"]["password"] == "…"


def test_a_configuration_for_another_balancer_has_its_secrets() -> None:
    sent = portable(config(), defaults=False, secrets=True)
    assert sent["pools"]["a"]["sessions"]["keys"] == [SECRET]
    assert parse(Text.of(json.dumps(sent), "bascule.yaml", {})) == config()


def test_a_problem_on_the_line_of_a_secret_does_not_show_it() -> None:
    with pytest.raises(ConfigRefused) as refused:
        parse(Text.of(YAML.replace("cookie: a", "cookie: a, secure: perhaps"), "bascule.yaml", {}))
    assert SECRET not in f"{refused.value} {as_json(refused.value.problems)}"


def test_a_secret_from_an_empty_variable_is_called_empty() -> None:
    with pytest.raises(ConfigRefused, match="this secret is empty") as refused:
        parse(Text.of(YAML.replace(f"keys: {SECRET}", 'keys: "${KEY}"'), "bascule.yaml", {"KEY": ""}))
    assert "that variable is empty" in str(refused.value)


def test_a_problem_in_python_does_not_show_a_secret() -> None:
    content = f"from bascule import Sessions\nSessions(cookie='a', keys=['{SECRET}'], secure='perhaps')\n"
    with pytest.raises(ConfigRefused) as refused:
        parse(Text.of(content, "bascule.py", {}))
    assert str(refused.value).startswith("bascule.py:2:")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("    password: hunter2 # mine", "    password: ………………… # mine"),
        ('a: {keys: [one, "two"], b: c}', 'a: {keys: [………, "………"], b: c}'),
        ("keys: ${KEY}", "keys: ${KEY}"),
        ('keys: ["${KEY:-hunter2}"]', 'keys: ["${KEY:-…………………}"]'),
        ("one: redis://me:hunt@r2@127.0.0.1/0", "one: redis://me:…………………@127.0.0.1/0"),
        ("one: redis://127.0.0.1:6379/0", "one: redis://127.0.0.1:6379/0"),
        ("request_headers: {set: {X-keys: a}}", "request_headers: {set: {X-keys: a}}"),
        ("keys:", "keys:"),
    ],
)
def test_only_secrets_are_concealed_and_columns_stay(line: str, shown: str) -> None:
    assert concealed(line) == shown
    assert len(concealed(line)) == len(line)
