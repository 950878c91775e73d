"""`bascule test`: files of expectations."""

from pathlib import Path

import pytest
from tests.unit.testing.test_rehearsal import CONFIG

from bascule.cli import answer

GOOD = """
tests:
  - request: GET http://shop.example/cart
    expect: {listener: web, pool: shop, pools: [admin, shop], endpoint: "10.0.0.1:80"}
  - request: http://shop.example/
    down: shop/10.0.0.1:80
    expect: {endpoints: "10.0.0.2:80"}
  - request: http://old.example/a
    expect: {status: 302, location: "https://new.example/a"}
  - request: DELETE http://a.example/admin
    client: 10.0.0.9
    expect: {route: admin}
"""


def run(folder: Path, tests: str) -> int:
    (folder / "bascule.yaml").write_text(CONFIG)
    (folder / "tests.yaml").write_text(tests)
    return answer(["test", str(folder / "tests.yaml")])


def test_what_is_as_expected_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, GOOD) == 0
    assert capsys.readouterr().err.endswith("tests.yaml: 4 as expected, 0 not\n")


def test_what_is_not_says_where_it_is_written_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = """tests:
  - request: GET http://shop.example/admin
    expect: {pool: shop}
  - request: https://shop.example/
    expect: {pool: shop}
"""
    assert run(tmp_path, wrong) == 1
    said = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert said == (
        "tests.yaml:3:20: GET http://shop.example/admin: pool is none, not shop\n"
        "  3 |     expect: {pool: shop}\n"
        "    |                    ^^^^\n"
        "      listener   web\n"
        "      seen as    host shop.example, path /admin, client 127.0.0.1\n"
        "        passed   redirect: not host old.example\n"
        "        passed   admin: not client in 10.0.0.0/8\n"
        "      route      respond\n"
        "      answer     403, written in the route\n"
        "tests.yaml:4:14: no listener speaks https\n"
        "  4 |   - request: https://shop.example/\n"
        "    |              ^^^^^^^^^^^^^^^^^^^^^ name one with --listener: web\n"
        "tests.yaml: 0 as expected, 2 not\n"
    )


def test_a_file_that_makes_no_sense_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "tests:\n  - reqest: http://a/\n    expect: {pol: x}\n") == 1
    said = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert "tests.yaml:2:5: " in said
    assert 'did you mean "request"?' in said
    assert 'did you mean "pool"?' in said


def test_a_configuration_that_is_refused_is_not_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.yaml").write_text("listeners: {}\n")
    assert run(tmp_path, f"config: other.yaml\n{GOOD.lstrip()}") == 1
    assert "other.yaml:1:1: no listener is defined" in capsys.readouterr().err
