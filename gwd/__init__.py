"""gwd: an API gateway. One front door for a company's services."""

__version__ = "0.1.0"
