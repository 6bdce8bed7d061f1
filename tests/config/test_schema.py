from __future__ import annotations

from gwd.config.schema import schema


def test_the_schema_knows_the_keys_that_work() -> None:
    found = schema()
    assert set(found["properties"]) >= {"server", "limits", "auth", "upstreams", "routes"}
    server = found["$defs"]["ServerTable"]
    assert server["additionalProperties"] is False
    assert server["properties"]["max_fields"]["minimum"] == 1
    assert server["properties"]["idle_timeout"]["type"] == "string"
    assert set(found["$defs"]["TlsTable"]["properties"]) >= {"cert", "key", "certificates"}
    assert set(found["$defs"]["BindItem"]["properties"]) >= {"tls", "client_auth"}


def test_the_schema_leaves_out_what_is_refused_and_marks_what_is_warned_of() -> None:
    found = schema()
    upstreams = found["$defs"]["UpstreamTable"]["properties"]
    assert upstreams["ejection"]["deprecated"] is True
    assert upstreams["ejection"]["description"].startswith("Not built yet")
    assert "dns" not in upstreams
    for table in ("RouteTable", "LimitsTable"):
        for shown in found["$defs"][table]["properties"].values():
            assert "deprecated" not in shown
    assert "token_file" not in found["$defs"]["AdminTable"]["properties"]
