"""Writes the reference pages from what the code says about itself: `tools/reference.py [FOLDER]`.

Every page is made of docstrings, help texts and the catalogue, so that it cannot say anything else
than the program does. `tests/unit/docs` fails when a page is not up to date.
"""

import contextlib
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from reference_sections import Key, Written, sections

from bascule import cli, contract
from bascule.admin.app import INDEX
from bascule.cli import answer
from bascule.cli.exits import Exit
from bascule.control.triggers import SIGNALS
from bascule.discovery.registry import SOURCES
from bascule.health.registry import CHECKS
from bascule.observe import prometheus
from bascule.plane import embedded

WIDTH = 110
NOTE = "<!-- Written by tools/reference.py (`make docs`). Change the code's own words instead. -->"
BELOW = {"show": ("config",), "wait": ("endpoint",)}
"""Commands that are only the first word of one."""

FOLDER = Path(__file__).parent.parent / "docs" / "reference"


def main(folder: Path) -> None:
    """Writes every page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        text = "\n".join([NOTE, "", *page()])
        (folder / name).write_text(re.sub("\n{3,}", "\n\n", text).rstrip() + "\n")


def configuration() -> Iterator[str]:
    """Every key of a configuration file, section by section."""
    yield "# Configuration"
    yield from paragraph(
        "Every section and key of a configuration file, in the order in which one leads to the other. "
        "A key without a default is required where it says so, and otherwise absent. "
        "`bascule show config --effective` prints a file with every default filled in, `bascule schema` the "
        "same as a JSON Schema for editors."
    )
    yield from paragraph(
        "How values are written: a duration is `250ms`, `5s`, `1m30s` or `1h`; a size is `64KiB`, `10MiB` or "
        "bytes as a number; a share is `20%`. `${NAME}` and `${NAME:-default}` are filled in from the "
        "environment, `$${` is the text itself. At the top of a file, `include:` names files to read "
        "too (`conf.d/*.yaml`), and keys that begin with `x-` are a place for YAML anchors."
    )
    for section in sections():
        yield from ("", f"## {section.title}", "")
        if section.path:
            yield from (f"At `{section.path}`.", "")
        yield from paragraph(section.description)
        for key in section.keys:
            yield from _key(key)


def _key(key: Key) -> Iterator[str]:
    about = [key.written] if key.written else []
    if key.required:
        about.append("required")
    if key.default is not None:
        about.append(f"default `{key.default}`")
    facts = f" ({', '.join(about)})" if about else ""
    yield from item(f"**`{key.name}`**{facts}: {key.description}")


def catalogue() -> Iterator[str]:
    """What can be named in a configuration: algorithms, matchers, checks, sources."""
    described = embedded.catalog()
    yield "# Algorithms, matchers, checks and sources"
    yield from paragraph(
        "What `bascule catalog` lists, with advice. `bascule catalog --json` is for programs."
    )
    for title, entries in (("Algorithms", described.algorithms), ("Matchers", described.matchers)):
        yield from ("", f"## {title}")
        for entry in entries:
            yield from ("", f"### {entry.name}", "")
            yield from paragraph(entry.summary)
            yield from paragraph(entry.advice)
            yield from _options(entry.options)
    for title, kinds in (("Checks", CHECKS), ("Sources", SOURCES)):
        yield from ("", f"## {title}", "")
        names = [getattr(kind, "name", None) or getattr(kind, "kind", "") for kind in kinds]
        for name, kind in zip(names, kinds, strict=True):
            yield from item(f"**{name}**: {(sys.modules[kind.__module__].__doc__ or '').splitlines()[0]}")
    yield from paragraph(
        "How each is written is in [Configuration](configuration.md). Installed packages add checks and "
        "sources through the entry points `bascule.checks` and `bascule.sources`."
    )


def _options(schema: Any) -> Iterator[str]:
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    if not properties:
        yield from ("It has no options.", "")
        return
    yield from ("Options, as a snapshot carries them:", "")
    for name, option in properties.items():
        parts = [Written.of(option), option.get("description", "")]
        yield from item(f"**`{name}`**: {'. '.join(part.rstrip('.') for part in parts if part)}.")
    yield ""


def command_line() -> Iterator[str]:
    """Every command's help, exit codes, signals."""
    yield "# Command line"
    yield from ("", "## Exit codes", "")
    yield from paragraph("They are stable: scripts may depend on them.")
    meanings = {
        Exit.OK: "It worked; what was checked is right.",
        Exit.WRONG: "What was checked is wrong, or the command failed.",
        Exit.USAGE: "The command line makes no sense, or there is no configuration file.",
        Exit.UNREACHABLE: "No balancer answers on the admin address.",
        Exit.TIMED_OUT: "The balancer did not answer, or did not do it, in time.",
    }
    yield from (f"- **{int(code)}**: {meanings[code]}" for code in Exit)
    yield from ("", "## Signals", "", "To the process of `bascule run` or `bascule proxy`:", "")
    yield from (f"- **{number.name}**: {trigger.value}" for number, trigger in SIGNALS.items())
    yield from ("", "## Habits of others", "")
    yield from paragraph("As a first argument these do what administrators expect of them:")
    yield from (f"- `bascule {it}` is `bascule {' '.join(words)}`" for it, words in cli.ALIASES.items())
    yield from ("", "## bascule", "", *_help([]))
    for command in cli.COMMANDS:
        words = [command, *BELOW.get(command, ())]
        yield from ("", f"## bascule {' '.join(words)}", "", *_help(words))


def _help(words: list[str]) -> Iterator[str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        answer([*words, "--help"])
    yield from ("```text", *(line.rstrip() for line in said.getvalue().strip().splitlines()), "```")


def metrics() -> Iterator[str]:
    """Every metric of the Prometheus page, with its labels."""
    yield "# Metrics"
    yield from paragraph(
        "`GET /metrics` on the admin address, and on `admin.metrics`. Label sets grow with the configuration "
        "only, never with what clients send. Counters survive a reload, and go when their endpoint goes."
    )
    first, last = prometheus.BOUNDS_US[0], prometheus.BOUNDS_US[-1]
    yield from paragraph(
        f"Histograms have buckets at every power of two microseconds, {first} µs to {last // 1_000_000} s. "
        "They are exact: the data plane counts finer."
    )
    page = prometheus.render(_one_of_each(), prometheus.About("0", True, 0)).splitlines()
    for at, line in enumerate(page):
        if not line.startswith("# HELP "):
            continue
        _, _, name, text = line.split(" ", 3)
        kind, sample = page[at + 1].rsplit(" ", 1)[1], page[at + 2]
        labels = [it.split("=")[0] for it in sample.partition("{")[2].rpartition("}")[0].split(",") if it]
        by = ", ".join(f"`{label}`" for label in labels if label != "le")
        yield from item(f"**`{name}`** ({kind}{f', by {by}' if by else ''}): {text}")


def _one_of_each() -> contract.Stats:
    histogram = contract.Histogram(count=0, sum_us=0, buckets=())
    return contract.Stats(
        listeners=(contract.ListenerStats("web"),),
        endpoints=(
            contract.EndpointStats(
                "pool",
                "endpoint",
                up=True,
                draining=False,
                weight=1,
                in_flight=0,
                picked=0,
                connects=0,
                connect_failures=0,
                retried=0,
                idle=0,
                limit=1,
                pace_us=1,
            ),
        ),
        pools=(contract.PoolStats("pool"),),
        flows=(
            contract.FlowSeries("", "", "", "", (contract.EndingCount("", 0),), 0, 0, histogram, histogram),
        ),
        series=(
            contract.Series(
                listener="web",
                route="route",
                pool="pool",
                endpoint="endpoint",
                codes=(contract.CodeCount(200, 1),),
                endings=(contract.EndingCount("ok", 1),),
                received_bytes=0,
                sent_bytes=0,
                duration=histogram,
                response=histogram,
            ),
        ),
    )


def admin_api() -> Iterator[str]:
    """Every resource of the admin API."""
    yield "# Admin API"
    yield from paragraph(
        "HTTP on a Unix socket (`/run/bascule.sock` for root, else `$XDG_RUNTIME_DIR/bascule.sock`, else "
        "`bascule-<uid>.sock` in the temporary directory) or on `admin.bind`. Only its owner may use the "
        "socket. Over TCP there is no password, and only an IP address or `localhost` is taken as `Host`; "
        "requests from web pages of another origin get 403."
    )
    for request, what in INDEX.items():
        yield from item(f"`{request}`: {what}")
    yield from paragraph(
        "A configuration that is refused gets 422 with `error` (text) and `problems` (each with `path`, "
        "`line`, `column`, `severity`, `what` and `hint`). A pool or endpoint that is not there gets 404, a "
        "body that makes no sense 400, anything else that cannot be done 409, each with `error`. "
        "`admin.metrics` serves `/metrics`, `/healthz` and `/readyz` (`/ready`, `/ping`) only."
    )
    yield from (
        "",
        "```sh",
        "curl --unix-socket /run/bascule.sock http://admin/status",
        'curl --unix-socket /run/bascule.sock -d \'{"state": "drain"}\' \\',
        "  http://admin/pools/site/endpoints/10.0.0.1:8000/state",
        "```",
    )
    yield from paragraph(
        "An endpoint is told as in the status, with its pool: `state` in one word (`up`, `down`, `ejected`, "
        "`draining`, `maintenance`) and `reason` in words; `up`, `draining`, `maintenance` and `ejected` "
        "each for itself; what `operator`, `agent` and `load` have said last; and what was counted. What an "
        "operator wants is in force when it is answered. It survives a reload, and is forgotten when the "
        "endpoint leaves its pool and when the balancer stops."
    )


def paragraph(text: str) -> Iterator[str]:
    """Wrapped, with an empty line on both sides."""
    yield from ("", *_wrapped(text), "")


def item(text: str) -> Iterator[str]:
    """One entry of a list, wrapped."""
    yield from _wrapped(text, "- ", "  ")


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "configuration.md": configuration,
    "catalogue.md": catalogue,
    "command-line.md": command_line,
    "metrics.md": metrics,
    "admin-api.md": admin_api,
}
"""Every generated page."""


if __name__ == "__main__":
    # The width of help texts follows the terminal.
    os.environ["COLUMNS"] = "80"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
