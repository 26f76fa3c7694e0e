"""docs/simulation.md: the fields of a device are those that a file of devices may have."""

import msgspec

from simulation.devices import Device
from tests.docs.markdown import spans, table


def test_the_fields_of_a_device_are_all_listed() -> None:
    rows = table("docs/simulation.md", "field", "what it says", "default").rows
    listed = [name for row in rows for name in spans(row[0])]
    assert listed == [field.name for field in msgspec.structs.fields(Device)]
