"""The operator's own code for DNS-01."""

from pathlib import Path

import pytest
from tests.unit.acme.conftest import Run, at_once

from bascule.acme.failure import OrderFailed
from bascule.acme.hook import Hook
from bascule.acme.proof import dns_record

PLAIN_AND_ASYNC = """\
from pathlib import Path

async def present(name, value):
    with (Path(__file__).parent / "said").open("a") as said:
        print("present", name, value, file=said)

def remove(name, value):
    with (Path(__file__).parent / "said").open("a") as said:
        print("remove", name, value, file=said)
"""


async def test_records_are_put_and_taken_away_also_when_the_order_fails(run: Run) -> None:
    hook = run.folder / "hook.py"
    hook.write_text(PLAIN_AND_ASYNC)
    run.authority.issues_for = ["other.example"]
    settings = {"challenge": "dns-01", "dns_hook": str(hook), "dns_wait": "20s"}
    await run.keepers.adopt(run.planned("*.a.example", **settings))
    await run.clock.advance(19)
    name, value = dns_record("a.example", "proof-0.of-*.a.example")
    assert (run.folder / "said").read_text() == f"present {name} {value}\n"
    assert run.authority.saw == []
    await run.clock.advance(2)
    assert (run.folder / "said").read_text() == f"present {name} {value}\nremove {name} {value}\n"
    assert (name, len(run.authority.saw)) == ("_acme-challenge.a.example", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "def present(name, value): raise OSError('no such zone')",
            "present('n', …) raised OSError: no such zone",
        ),
        ("def other(): ...", "AttributeError"),
        ("1/0", "ZeroDivisionError"),
        ("def present(", "SyntaxError"),
    ],
)
async def test_what_it_raises_is_told(tmp_path: Path, run: Run, content: str, said: str) -> None:
    file = tmp_path / "hook"
    file.write_text(content)
    with pytest.raises(OrderFailed) as failed:
        await Hook(str(file), run.clock, at_once).present("n", "v")
    assert said in failed.value.message and str(file) in failed.value.message
