"""How gwd's cost grows with what it has to know: connections, routes, endpoints, addresses."""
