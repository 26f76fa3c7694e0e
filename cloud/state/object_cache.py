"""Objects of the bucket that an execution environment has in memory, because it may want them again."""

CACHE_BYTES = 64 << 20
"""The most that is cached: the updates of some hundred small models."""


class ObjectCache:
    """The objects that were added last, at most `limit_bytes` of them. Each is found by its key and its version, of an
    update, or SHA-256, of a model: so it is what the bucket has under this key."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._objects: dict[tuple[str, str], bytes] = {}
        self._bytes = 0

    def add(self, key: str, version: str, data: bytes) -> None:
        """Cache an object in the place of the oldest ones, unless it is larger than the limit."""
        if (key, version) in self._objects or len(data) > self._limit_bytes:
            return
        self._objects[key, version] = data
        self._bytes += len(data)
        while self._bytes > self._limit_bytes:
            self._bytes -= len(self._objects.pop(next(iter(self._objects))))

    def get(self, key: str, version: str) -> bytes | None:
        """This version of an object, if it is cached."""
        return self._objects.get((key, version))
