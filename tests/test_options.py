"""What a field means is read from the source, where it is wanted."""

from restore.options import Options, meaning


class Base(Options):
    kept: int = 0
    """Of the
    base."""
    changed: int = 0
    """Of the base."""
    silent: int = 0


class Derived(Base):
    changed: int = 1
    """Of the derived one."""

    def method(self) -> int:
        """Of no field."""
        return self.kept


def test_the_nearest_class_tells_and_silence_stays() -> None:
    assert meaning(Derived) == {"kept": "Of the base.", "changed": "Of the derived one."}
