"""operations/forgetting.py: what the command's own tests can't time."""

import pytest

from cloud.state.clients import Clients
from operations.control import Operations, RoundUnderWayError
from operations.forgetting import forget
from tests.cloud.simulated import SimulatedFederation


def test_a_round_that_begins_with_a_client_while_it_is_forgotten_keeps_its_assignment(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=1)

    class Overtaken(Clients):
        def forget(self, federation: str, thing: str) -> bool:
            was_there = super().forget(federation, thing)
            simulated.claim("d0")
            return was_there

    operations = Operations(simulated.aws.client, simulated.deployed)
    operations.clients = Overtaken(simulated.aws.client("dynamodb"), simulated.deployed.clients_table)
    simulated.report_progress("d0", 1, "accepted")
    iot = simulated.aws.client("iot-data")
    with pytest.raises(RoundUnderWayError, match=r"round 1 .* has begun with d0 while it was forgotten"):
        forget(operations, iot, simulated.name, "d0")
    assert iot.get_thing_shadow(thingName="d0", shadowName=f"fedgrass-{simulated.name}")["payload"].read()
