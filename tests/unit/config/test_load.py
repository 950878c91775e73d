"""Files and what they include."""

from pathlib import Path

import pytest

from bascule.config import load as loading
from bascule.config.load import Text, load
from bascule.config.parse import parse
from bascule.config.problems import ConfigRefused

MAIN = "listeners: {web: {bind: 127.0.0.1:80, pool: a}}\n"
POOL = "pools: {{{name}: {{endpoints: 10.0.0.1:80}}}}\n"


def write(folder: Path, **files: str) -> Path:
    """Writes `name.yaml` for each; returns the path of `main.yaml`."""
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return folder / "main.yaml"


def refusal(path: Path) -> str:
    with pytest.raises(ConfigRefused) as refused:
        parse(load(path, {}))
    return str(refused.value).replace(str(path.parent), "…")


def test_included_files_add_pools_listeners_and_stores(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main=f"{MAIN}include: [b.yaml, conf.d/*.yaml]\nstores: {{s: 127.0.0.1}}\n" + POOL.format(name="a"),
        b=POOL.format(name="b") + "log_level: debug\n",
        conf__d1=POOL.format(name="d"),
        conf__d2="listeners: {more: {bind: 127.0.0.1:81, pool: d}}\nstores: {t: 127.0.0.1}\n",
    )
    (tmp_path / "conf").rename(tmp_path / "conf.d")
    config = parse(load(main, {}))
    assert list(config.listeners) == ["more", "web"] or set(config.listeners) == {"more", "web"}
    assert set(config.pools) == {"a", "b", "d"}
    assert set(config.stores) == {"s", "t"}
    assert config.log_level == "debug"


def test_an_include_may_stand_on_several_lines(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main=f"include:\n  - b.yaml   # why\n\n  - c.yaml\n{MAIN}",
        b=POOL.format(name="a"),
        c=POOL.format(name="c"),
    )
    assert set(parse(load(main, {})).pools) == {"a", "c"}


def test_includes_are_relative_to_the_file_that_includes(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main=f"include: sub/b.yaml\n{MAIN}",
        sub__b="include: c.yaml\n",
        sub__c=POOL.format(name="a"),
    )
    assert set(parse(load(main, {})).pools) == {"a"}


def test_a_file_that_is_included_twice_is_read_once(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main=f"include: [b.yaml, c.yaml, b.yaml]\n{MAIN}",
        b=POOL.format(name="a"),
        c="include: b.yaml\n",
    )
    assert set(parse(load(main, {})).pools) == {"a"}


def test_a_circle_of_includes_is_refused(tmp_path: Path) -> None:
    main = write(tmp_path, main="include: b.yaml\n", b="include: main.yaml\n")
    assert refusal(main) == (
        "…/b.yaml:1:10: this file includes itself\n"
        "  1 | include: main.yaml\n"
        "    |          ^^^^^^^^^ the circle is …/main.yaml → …/b.yaml → …/main.yaml"
    )


def test_a_file_that_is_not_there_is_refused_where_it_is_included(tmp_path: Path) -> None:
    main = write(tmp_path, main="include: [gone.yaml]\n")
    assert refusal(main).startswith("…/main.yaml:1:11: cannot read …/gone.yaml: no such file or directory")


def test_a_pattern_that_matches_nothing_is_no_mistake(tmp_path: Path) -> None:
    main = write(tmp_path, main="include: conf.d/*.yaml\n" + MAIN + POOL.format(name="a"))
    assert set(parse(load(main, {})).pools) == {"a"}


def test_mistakes_in_included_files_are_placed_there(tmp_path: Path) -> None:
    main = write(tmp_path, main=f"include: b.yaml\n{MAIN}", b="pools:\n  a: {endpoints: nonsense}\n")
    assert refusal(main).startswith(
        "…/b.yaml:2:18: expected an address such as 10.0.0.1:8000, not 'nonsense'"
    )


def test_what_two_files_define_is_refused_with_both_places(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main=f"include: b.yaml\nlog_level: info\n{MAIN}" + POOL.format(name="a"),
        b=POOL.format(name="a") + "log_level: debug\n",
    )
    said = refusal(main)
    assert '…/b.yaml:1:9: pool "a" is defined twice' in said
    assert "first at …/main.yaml:4; keep one of them" in said
    assert '…/b.yaml:2:1: "log_level" is defined twice' in said


def test_the_files_to_watch_are_those_read_and_the_directories_searched(tmp_path: Path) -> None:
    main = write(tmp_path, main="include: [b.yaml, conf.d/*.yaml]\n", b="")
    assert load(main, {}).files == (main, tmp_path / "b.yaml", tmp_path / "conf.d")


def test_a_large_file_is_refused_without_being_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LARGEST", 1 << 20)
    main = write(tmp_path, main="#" * ((1 << 20) + 1))
    assert refusal(main).startswith("…/main.yaml: the configuration is larger than 1 MiB")


def test_a_device_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LARGEST", 1 << 16)
    with pytest.raises(ConfigRefused, match="larger than"):
        load(Path("/dev/zero"))


def test_a_directory_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "bascule.yaml").write_text("")
    with pytest.raises(ConfigRefused, match="is a directory\n  name a file in it"):
        load(tmp_path)
    with pytest.raises(ConfigRefused, match=r"no such file or directory\n  there is bascule.yaml"):
        load(tmp_path / "bascul.yaml")


def test_bytes_that_are_not_utf_8_are_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    path.write_bytes(b"a: b\nc: \xff\n")
    assert refusal(path) == "…/main.yaml:2: byte 0xff is not UTF-8\n  save the file as UTF-8"


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (MAIN + POOL.format(name="a")).replace("\n", "\r\n").encode())
    assert set(parse(load(path, {})).pools) == {"a"}


def test_a_text_from_elsewhere_knows_no_files() -> None:
    assert Text.of(MAIN, "request", {}).files == ()
