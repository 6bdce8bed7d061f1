"""The config: from a TOML file to a plain snapshot, and everything that can be wrong on the way.

`load.load` is the one way in (it imports pydantic), `snapshot.Snapshot` what comes out,
`problems.Problem` how a mistake is told, `find` where files lie. Import the modules themselves:
this package imports nothing, so that the fast commands stay fast.
"""
