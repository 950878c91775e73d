"""A running balancer takes on another configuration, or refuses it and goes on."""

import json
import signal
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.program import Bascule, ToyEndpoint, command, get, written


def test_reloads_good_and_broken_by_command_and_by_signal(folder: Path, toys: list[ToyEndpoint]) -> None:
    one, other = toys
    file = folder / "bascule.yaml"
    file.write_text(written([one]))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert get(address).body.decode() == one.name

        file.write_text(written([other]))
        plan = command(folder, "plan", "--exit-code")
        assert plan.code == 1
        assert f"pool site: endpoint {other.name} added\n" in plan.out
        done = command(folder, "reload")
        assert (done.code, done.err) == (0, "reloaded: generation 2 is live\n")
        assert f"  pool site: endpoint {one.name} removed; its exchanges finish\n" in done.out
        assert "  listener web: unchanged (keeps its socket and connections)\n" in done.out
        assert get(address).body.decode() == other.name
        assert command(folder, "plan", "--exit-code").err == "nothing would change\n"

        file.write_text(written([one]).replace("bind", "bimd").replace("pool: site", "pool: sight"))
        done = command(folder, "reload")
        assert done.code == 1
        assert 'did you mean "bind"?' in done.err
        assert 'did you mean "site"?' in done.err
        assert get(address).body.decode() == other.name
        status = command(folder, "status")
        assert "the last reload was refused; the old configuration goes on" in status.out
        assert "bascule.yaml:1:" in status.out

        file.write_text(written([one]))
        running.send(signal.SIGHUP).wait_said('"generation": 3')
        assert get(address).body.decode() == one.name
        assert json.loads(command(folder, "status", "--json").out)["last_reload"]["ok"]


def test_what_the_system_refuses_leaves_the_old_configuration(folder: Path, toys: list[ToyEndpoint]) -> None:
    file = folder / "bascule.yaml"
    file.write_text(written(toys))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        file.write_text(written(toys).replace('"127.0.0.1:0"', f'["127.0.0.1:0", "{toys[0].name}"]'))
        done = command(folder, "reload")
        assert done.code == 1
        assert f'listener "web" cannot bind {toys[0].name}: ' in done.err
        assert get(address).status == 200


def test_watch_reloads_when_the_file_or_a_new_include_is_written(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    one, other = toys
    file = folder / "bascule.yaml"
    (folder / "conf.d").mkdir()
    file.write_text(written([one], "include: [conf.d/*.yaml]\n"))
    with Bascule(folder, "run", "--watch") as running:
        address = running.ready().address()
        replaced = folder / ".bascule.yaml.new"
        replaced.write_text(written([other], "include: [conf.d/*.yaml]\n"))
        replaced.rename(file)
        running.wait_said('"reloaded"')
        assert get(address).body.decode() == other.name
        (folder / "conf.d" / "more.yaml").write_text(f"pools: {{more: {{endpoints: ['{one.name}']}}}}\n")
        running.wait_said('"reloaded"', count=2)
        file.write_text("listeners: [\n")
        running.wait_said("reload refused; the old configuration goes on")
        assert get(address).body.decode() == other.name


def test_a_list_of_endpoints_is_read_again_while_it_runs(folder: Path, toys: list[ToyEndpoint]) -> None:
    one, other = toys
    listed = folder / "endpoints.txt"
    listed.write_text(f"{one.name}\n")
    content = written([]).replace("endpoints: []", "endpoints: {file: endpoints.txt, every: 20ms}")
    (folder / "bascule.yaml").write_text(content)
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert get(address).body.decode() == one.name
        listed.write_text(f"{other.name}\n")
        eventually(lambda: get(address).body.decode() == other.name, "the list is not read again")
        listed.write_text("not an address\n")
        running.wait_said("endpoints not found", "endpoints.txt")
        assert get(address).body.decode() == other.name
        assert "endpoints.txt:1" in command(folder, "status").out


def test_a_name_that_does_not_resolve_yet_does_not_stop_the_start(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    content = written(toys).replace(
        "pool: site", "routes: [{match: {path: /later}, pool: later}, {pool: site}]"
    )
    later = "pools: {later: {endpoints: {dns: 'app.invalid:80'}}, "
    (folder / "bascule.yaml").write_text(content.replace("pools: {", later))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert get(address).status == 200
        assert get(address, "/later").status == 503
        assert "pool later: dns: " in command(folder, "status").out
        assert "(fastest): none found yet" in "\n".join(running.said)


def test_a_check_in_python_survives_reloads_and_says_what_is_wrong(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    file = folder / "bascule.py"
    file.write_text(
        "from bascule import Check, Config, Listener, Pool, check\n"
        "\n"
        "@check\n"
        "async def is_awake(endpoint):\n"
        f"    assert str(endpoint) != '{toys[1].name}', 'sleeps all day'\n"
        "\n"
        "config = Config(\n"
        "    listeners={'web': Listener(bind='127.0.0.1:0', pool='site')},\n"
        f"    pools={{'site': Pool(endpoints={[it.name for it in toys]}, check=is_awake)}},\n"
        "    access_log='off',\n"
        ")\n"
    )
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        running.wait_said("endpoint is down", toys[1].name, "sleeps all day")
        assert {get(address).body.decode() for _ in range(4)} == {toys[0].name}
        assert "is_awake(): sleeps all day" in command(folder, "status").out
        assert command(folder, "plan", "--exit-code").code == 0, "the function is another object, no more"
        done = command(folder, "reload")
        assert done.code == 0
        assert "check" not in done.out
        file.write_text(file.read_text().replace("sleeps all day", "dreams"))
        assert "pool site: is checked differently" in command(folder, "reload").out
        running.until(lambda: "is_awake(): dreams" in command(folder, "status").out)
