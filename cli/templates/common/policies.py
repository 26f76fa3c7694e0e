"""Custom policies. None of these is used until federation.yaml asks for it: `selection: {policy: custom}`, `completion:
custom`, `averaging: {rule: custom}`, `pacing: {policy: custom}`. docs/tasks.md of fedgrass says what they get. numpy is
there, torch is not, and the file must stand alone."""

# from collections.abc import Iterator
#
# import numpy as np
#
# from fedgrass.policies import Array, Client, Round, Update
#
#
# def choose_clients(clients: list[Client], cohort: int, round_number: int) -> list[str]:
#     """Those with the most examples."""
#     ranked = sorted(clients, key=lambda client: client.examples or 0, reverse=True)
#     return [client.thing for client in ranked[:cohort]]
#
#
# def is_complete(round: Round) -> bool:
#     """When the updates together come from a thousand examples, or all have answered."""
#     examples = sum(report.examples for report in round.reports.values())
#     return examples >= 1000 or round.accepted == len(round.cohort)
#
#
# def average(updates: Iterator[Update], model: dict[str, Array]) -> dict[str, Array]:
#     """The mean by examples: what is to be added to the model."""
#     total = {name: np.zeros(array.shape) for name, array in model.items()}
#     weight = 0
#     for update in updates:
#         weight += update.report.examples
#         for name, delta in update.delta.items():
#             total[name] += update.report.examples * delta
#     return {name: array / weight for name, array in total.items()}
#
#
# def next_round_delay(last: Round) -> float:
#     """Seconds: half a minute after a good round, four minutes after one that few answered."""
#     return 30.0 if last.accepted >= last.target else 240.0
