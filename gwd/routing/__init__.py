"""Routes: from what the file says to which one takes a request, and where it is sent.

Public: `table.RouteTable` and `table.Match` (the match itself), `table.conflicts` (what `check`
reports), `rewrite.compile_rewrite` and `rewrite.compile_template` (paths for upstreams, parts and
redirects), `explain.explain` (why this route and not another).
"""
