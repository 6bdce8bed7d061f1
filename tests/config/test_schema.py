from __future__ import annotations

from gwd.config.schema import schema


def test_the_schema_knows_the_keys_that_work() -> None:
    found = schema()
    assert set(found["properties"]) >= {"server", "limits", "auth", "upstreams", "routes"}
    server = found["$defs"]["ServerTable"]
    assert server["additionalProperties"] is False
    assert server["properties"]["max_fields"]["minimum"] == 1
    assert server["properties"]["idle_timeout"]["type"] == "string"


def test_the_schema_leaves_out_what_is_not_built() -> None:
    found = schema()
    assert "rate" not in found["$defs"]["RouteTable"]["properties"]
    assert "ejection" not in found["$defs"]["UpstreamTable"]["properties"]
    assert "ban" not in found["$defs"]["LimitsTable"]["properties"]
    assert "BanTable" not in found["$defs"]
