"""The pydantic models of the file, one per table; `gwd.config.tables.file.File` is the whole.

Each model judges its own keys one by one and holds their documentation. What several keys or
tables say together is judged in `gwd.config.relations`, on the plain tree, so that a mistake in
one key never hides one in another.
"""
