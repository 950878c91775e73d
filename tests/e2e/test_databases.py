"""A pool for writes and one for reads of the same databases, which change their roles."""

import json
from pathlib import Path

from tests.support.postgres import PASSWORD, USER, Postgres
from tests.support.program import Bascule, command
from tests.support.standing import standing, up


def written(*servers: Postgres) -> str:
    """Writes go to the primary, reads to replicas."""
    endpoints = json.dumps([it.address for it in servers])

    def pool(asked: str) -> str:
        question = f'{{{asked}, user: {USER}, password: "{PASSWORD}"}}'
        return f"{{endpoints: {endpoints}, check: {{postgres: {question}, every: 100ms, timeout: 10s}}}}"

    routes = "[{match: {path: /w}, pool: writes}, {pool: reads}]"
    return (
        f'listeners: {{web: {{bind: "127.0.0.1:0", routes: {routes}}}}}\n'
        f"pools: {{writes: {pool('role: primary')}, reads: {pool('role: replica, max_lag: 10s')}}}\n"
        "access_log: off\n"
    )


def test_a_pool_follows_the_primary_and_uses_none_while_there_are_two(folder: Path) -> None:
    with Postgres() as one, Postgres(of=one) as other:
        (folder / "bascule.yaml").write_text(written(one, other))
        with Bascule(folder, "run") as running:
            running.ready().wait_said('"endpoint is up"', one.address, '"writes"')
            running.wait_said('"endpoint is up"', other.address, '"reads"')
            assert up(folder, "writes") == [one.address]
            assert up(folder, "reads") == [other.address]
            assert standing(folder, "writes")[other.address]["reason"] == "is a replica, wanted the primary"

            # Nobody told the old one.
            other.promote()
            running.wait_said('"endpoint is down"', one.address, '"writes"')
            both = " and ".join(sorted([one.address, other.address]))
            claimed = f"{both} pass a check that only one may pass: none of them is used"
            assert up(folder, "writes") == []
            assert {it["reason"] for it in standing(folder, "writes").values()} == {claimed}

            one.stop()
            running.wait_said('"endpoint is up"', other.address, '"writes"')
            assert up(folder, "writes") == [other.address]

            one.follow(other)
            one.start()
            running.wait_said('"endpoint is up"', one.address, '"reads"')
            assert up(folder, "reads") == [one.address]
            assert up(folder, "writes") == [other.address]
            assert not any(PASSWORD in line for line in running.said)
    assert PASSWORD not in command(folder, "show", "config").out
