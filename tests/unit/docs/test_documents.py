"""What the documents say is there: links, configurations, refusals, endings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.catalogs import catalog
from tests.support.certificates import Authority

from bascule.config.load import Text
from bascule.plan.review import review

ROOT = Path(__file__).parents[3]
PARTS = ("*.md", "docs/**/*.md", "examples/**/*.md")
DOCUMENTS = sorted(path for part in PARTS for path in ROOT.glob(part) if path.name != "STYLE.md")
DECIDE = ROOT / "crates" / "decide" / "src"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_no_line_is_longer_than_120_characters(document: Path) -> None:
    lines = document.read_text().splitlines()
    assert [at for at, line in enumerate(lines, 1) if len(line) > 120] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [link for link in links_of(document) if not leads_somewhere(document, link)] == []


def links_of(document: Path) -> Iterator[str]:
    for found in re.finditer(r"\]\(([^)\s]+)\)", without_code(document.read_text())):
        if not found[1].startswith(("http://", "https://")):
            yield found[1]


def leads_somewhere(document: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (document.parent / name).resolve() if name else document
    return target.exists() and (not anchor or anchor in anchors_of(target))


def anchors_of(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(document.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("life", ["request", "configuration"])
def test_a_life_leads_through_files_that_are_there(life: str) -> None:
    page = (ROOT / "docs" / f"life-of-a-{life}.md").read_text()
    folders = (ROOT, ROOT / "crates" / "wire" / "src", DECIDE, ROOT / "python" / "bascule")
    files = re.findall(r"`([\w/]+(?:\.rs|\.py|/))`", page)
    assert [file for file in files if not any((folder / file).exists() for folder in folders)] == []
    assert len(files) > 5


CONFIGURATIONS = [
    pytest.param(block, id=f"{named(document)}-{at}")
    for document in DOCUMENTS
    for at, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.M | re.S))
]


@pytest.mark.parametrize("written", CONFIGURATIONS)
def test_a_configuration_that_is_shown_is_valid(written: str, tmp_path: Path) -> None:
    if "listeners:" not in written:
        written = f"listeners: {{web: {{bind: 127.0.0.1:8080, pool: app}}}}\n{written}"
    if "pools:" not in written:
        written = f"pools: {{app: {{endpoints: 10.0.0.1:8000}}}}\n{written}"
    # A log file may be anywhere; its directory need not be there on this machine.
    written = written.replace("/var/log/bascule", str(tmp_path))
    folder = with_certificates(tmp_path) if "tls:" in written else tmp_path
    written = re.sub(r"/(etc/letsencrypt|run/secrets)/", f"{folder}/", written)
    environment = {
        "TICKET_KEY": "0123456789abcdef",
        "ACME_HMAC_KEY": "c2VjcmV0",
        **dict.fromkeys(("DB_PASSWORD", "REDIS_PASSWORD"), "a-long-password"),
    }
    _, problems = review(Text.of(written, f"{folder}/bascule.yaml", environment), catalog())
    assert list(map(str, problems)) == []


def with_certificates(folder: Path) -> Path:
    """The files that configurations in documents name."""
    authority = Authority()
    authority.issue("site.example", "shop.example").write(folder, "site")
    authority.issue("shop.example").write_apart(folder, "shop")
    authority.issue("balancer.example").write(folder, "balancer")
    (folder / "live").mkdir()
    authority.issue("other.example").write(folder / "live", "other")
    for name in ("staff-ca", "internal-ca"):
        authority.write(folder, name)
    (folder / "staff.crl").write_text(authority.revoke())
    (folder / "old-ticket-key").write_text("fedcba9876543210")
    return folder


def test_the_file_of_the_readme_is_the_one_whose_plan_is_golden() -> None:
    golden = ROOT / "tests" / "golden" / "config" / "good_from_the_readme.golden"
    shown = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert golden.read_text().startswith(f"{shown[0]}{'-' * 80}\n")


REASONS = [
    pytest.param(reason, id=reason)
    for file in sorted((DECIDE / "http1").glob("*.rs"))
    for reason in re.findall(r'Self::\w+ => \{?\s*"([a-zA-Z][^"]+)"', file.read_text(), re.S)
]


@pytest.mark.parametrize("reason", REASONS)
def test_every_refusal_is_explained(reason: str) -> None:
    page = " ".join((ROOT / "docs" / "reference" / "http.md").read_text().split())
    assert f'"{reason}"' in page


def test_there_are_refusals_to_explain() -> None:
    assert len(REASONS) > 25


def test_every_ending_is_explained_and_no_other() -> None:
    account = (ROOT / "crates" / "wire" / "src" / "account.rs").read_text()
    there = re.findall(r'^    \w+ => "([a-z_]+)",$', account, re.M)
    page = (ROOT / "docs" / "guides" / "observing.md").read_text().partition("\n## Endings\n")[2]
    assert sorted(re.findall(r"^- \*\*`([a-z_]+)`\*\*", page, re.M)) == sorted(there)
    assert len(there) > 20


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
