"""What can go wrong. Bad arguments raise ``ValueError`` or ``TypeError``; the rest is below."""


class SemcoreError(Exception):
    """Base of every error that semcore raises on its own account."""


class ConfigError(SemcoreError, ValueError):
    """The cache cannot be built as asked for: a setting is impossible here, or an extra is missing."""


class CapacityError(SemcoreError):
    """A value can never fit into this cache, however much is evicted."""


class RegionError(SemcoreError):
    """A file is not ours, is damaged, or was made with another geometry or embedder."""


class EmbeddingError(SemcoreError):
    """The embedder failed, or returned something that is not a usable vector."""
