from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gwd.config.load import load
from gwd.config.problems import ConfigError

UPSTREAM = '[upstreams.app]\nendpoints = ["127.0.0.1:9000"]\n'
ROUTE = '[[routes]]\nname = "app"\npath = "/*"\nupstream = "app"\n'


def refused(path: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, {})
    (problem,) = error.value.problems
    return str(problem)


def test_all_errors_are_told_at_once_in_the_order_of_the_file(wrong: Any) -> None:
    text = """[server]
worker = 2
idle_timeout = "2 sec"
[limits.per_ip]
burst = 0
[auth.main]
type = "jwt"
issuer = 5
audience = []
algorithms = ["RS265"]
jwks_file = "/nowhere.json"
[upstreams.orders]
endpoints = ["127.0.0.1"]
[[routes]]
name = "orders"
path = "orders"
methods = ["get"]
upstream = "order"
"""
    lines = [int(error.split(":")[0]) for error in wrong(text)]
    assert lines == [2, 3, 4, 5, 8, 9, 10, 11, 13, 16, 17, 18]


def test_the_lines_of_the_contract(wrong: Any) -> None:
    text = '\n\n[server]\nworker = 2\n[upstreams.a]\nendpoints = ["127.0.0.1:1"]\n'
    text += '[upstreams.a.health]\npath = "/h"\ninterval = "2 sec"\n'
    assert wrong(text) == [
        '4: server.worker: unknown key; did you mean "workers"?',
        '9: upstreams.a.health.interval: "2 sec" is not a duration; use "250ms", "2s", "5m"',
    ]


def test_a_frame_points_at_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "gwd.toml"
    file.write_text('[server]\n\tidle_timeout = "2 sec" # é\n')
    with pytest.raises(ConfigError) as error:
        load(str(file), {})
    assert error.value.problems[0].frame() == (
        '  2 |  idle_timeout = "2 sec" # é\n    |                 ^^^^^^^'
    )


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"[server", 1, "not TOML"),
        (b"[server]\nworkers = \n", 2, "not TOML: invalid value; see https://toml.io"),
        (b"a = 1\na = 2\n", 2, "not TOML: cannot overwrite a value"),
        (b"a = 1\nb = '\xff'\n", 2, "this byte is not UTF-8; save the file as UTF-8"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, 0, "nests too deeply"),
        (b'a = "' + b"x" * 100, 1, "not TOML: unterminated string"),
    ],
)
def test_what_is_not_toml_is_one_problem(
    tmp_path: Path, content: bytes, line: int, message: str
) -> None:
    file = tmp_path / "gwd.toml"
    file.write_bytes(content)
    where = f"{file}:{line}: " if line else f"{file}: "
    assert refused(str(file)).startswith(where + message)


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    assert "no such file or directory" in refused(str(tmp_path / "none.toml"))
    assert "is a directory" in refused(str(tmp_path))
    if os.geteuid() != 0:
        file = tmp_path / "secret.toml"
        file.touch(0)
        assert "permission denied" in refused(str(file))


def test_an_empty_file_is_good_and_says_that_it_serves_nothing(good: Any) -> None:
    loaded = good("")
    assert loaded.snapshot.routes == ()
    assert ["every request gets 404" in w.message for w in loaded.warnings] == [True]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[server]\nx = 1\n")))
    assert refused("-").startswith("<stdin>:2: server.x: unknown key")


def test_defaults_are_those_of_the_contract(good: Any) -> None:
    server = good(UPSTREAM + ROUTE).snapshot.server
    assert [(bind.host, bind.port) for bind in server.bind] == [("127.0.0.1", 8080)]
    assert (server.workers, server.max_head, server.max_body) == (0, 32 << 10, 10 << 20)
    assert (server.shutdown_delay, server.idle_timeout, server.min_body_rate) == (0, 75, 1024)


def test_get_brings_head(good: Any) -> None:
    route = good(UPSTREAM + ROUTE + 'methods = ["GET", "POST"]\n').snapshot.routes[0]
    assert route.methods == ("GET", "HEAD", "POST")


def test_a_route_knows_its_line(good: Any) -> None:
    routes = good(UPSTREAM + "\n" + ROUTE + "\n" + ROUTE.replace('"app"\npath', '"b"\npath'))
    assert [route.line for route in routes.snapshot.routes] == [4, 9]


def test_the_default_of_a_part_travels_as_json(good: Any) -> None:
    text = UPSTREAM + '[[routes]]\nname = "a"\npath = "/"\n[[routes.parts]]\nname = "p"\n'
    text += 'upstream = "app"\npath = "/"\n'
    assert good(text).snapshot.routes[0].parts[0].default is None
    part = good(text + "default = { items = [], é = 1.5 }\n".replace("é", '"é"')).snapshot
    assert part.routes[0].parts[0].default == '{"items":[],"é":1.5}'.encode()


def test_a_default_that_json_has_no_word_for_is_refused(wrong: Any) -> None:
    text = UPSTREAM + '[[routes]]\nname = "a"\npath = "/"\n[[routes.parts]]\nname = "p"\n'
    text += 'upstream = "app"\npath = "/"\ndefault = [inf, 2020-01-01]\n'
    assert wrong(text) == [
        "10: routes[0].parts[0].default: this array cannot be JSON; leave dates, inf and nan out"
    ]


def test_redirects_and_fixed_answers(good: Any) -> None:
    text = '[[routes]]\nname = "a"\npath = "/a/*"\nrespond = { redirect = "/b/{*}" }\n'
    text += (
        '[[routes]]\nname = "b"\npath = "/b"\nrespond = { body = "é", headers = { X-A = "1" } }\n'
    )
    first, second = (route.respond for route in good(text).snapshot.routes)
    assert (first.status, first.redirect) == (308, "/b/{*}")
    assert (second.status, second.body, second.headers) == (200, "é".encode(), (("X-A", "1"),))


def test_the_digest_names_all_that_was_read(good: Any) -> None:
    text = '[server]\naccess_log = "${LOG:-off}"\n' + UPSTREAM + ROUTE
    plain = good(text).snapshot.digest
    assert len(plain) == 12
    assert good(text).snapshot.digest == plain
    assert good(text + "# other\n").snapshot.digest != plain
    assert good(text, {"LOG": "stdout"}).snapshot.digest != plain


def test_the_admin_socket_lies_in_the_runtime_directory(good: Any) -> None:
    loaded = good(UPSTREAM + ROUTE, {"RUNTIME_DIRECTORY": "/run/elsewhere"})
    assert loaded.snapshot.admin_bind == ("unix:/run/elsewhere/admin.sock",)


def test_others_may_report_a_problem_at_a_place(good: Any) -> None:
    problem = good(UPSTREAM + ROUTE).problem("routes", 0, "path", message="is taken")
    assert str(problem).endswith("gwd.toml:5: routes[0].path: is taken")


def test_two_thousand_routes_load_with_their_lines(good: Any) -> None:
    routes = [
        f'[[routes]]\nname = "r{i}"\npath = "/r{i}/*"\nupstream = "app"\n' for i in range(2000)
    ]
    snapshot = good(UPSTREAM + "".join(routes)).snapshot
    assert [route.line for route in snapshot.routes] == [3 + 4 * i for i in range(2000)]


def test_a_url_with_a_password_is_told_without_it(wrong: Any) -> None:
    lines = wrong('[upstreams.app]\nendpoints = ["http://me:hunter2@host/"]\n')
    assert any("upstreams.app.endpoints[0]" in line for line in lines)
    assert not any("hunter2" in line or "me:" in line for line in lines)
