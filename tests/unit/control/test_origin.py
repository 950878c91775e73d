"""What tells one state of a configuration's files from another."""

from pathlib import Path

from bascule.control.origin import FileOrigin, fingerprint


def test_a_link_that_leads_elsewhere_is_a_change_of_its_configuration(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / f"{version}.yaml").write_text("{}\n")
    link = tmp_path / "bascule.yaml"
    link.symlink_to("v1.yaml")
    origin = FileOrigin(link)
    origin.read()
    assert origin.files_now() == origin.files_read()
    link.unlink()
    link.symlink_to("v2.yaml")
    assert origin.files_now() != origin.files_read()


def test_writing_and_replacing_a_file_change_its_print_and_touching_a_neighbour_does_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one")
    first = fingerprint([file])
    (tmp_path / "other").write_text("x")
    assert fingerprint([file]) == first

    file.write_text("one and two")
    second = fingerprint([file])
    assert second != first

    (tmp_path / "new").write_text("one and six")
    (tmp_path / "new").rename(file)
    assert fingerprint([file]) != second


def test_a_symbolic_link_that_leads_elsewhere_changes_the_print(tmp_path: Path) -> None:
    """This is how Kubernetes changes a mounted ConfigMap."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text("same length")
    (tmp_path / "data").symlink_to("v1")
    file = tmp_path / "data" / "a.yaml"
    before = fingerprint([file])
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("v2")
    assert fingerprint([file]) != before


def test_a_file_that_vanished_has_a_print_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("")
    before = fingerprint([file])
    file.unlink()
    assert fingerprint([file]) != before
