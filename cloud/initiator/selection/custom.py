"""A custom policy: the user's `choose_clients` in policies.py."""

from cloud.custom_policies import InvalidPolicyError, call
from cloud.initiator.selection.policy import OF_A_COHORT, Candidates, SelectionPolicy, compared
from cloud.state.records import ClientRecord
from cloud.state.views import client_view


def _choose(candidates: Candidates) -> list[ClientRecord]:
    clients, choose = candidates.clients, candidates.choose_clients
    if choose is None:
        raise InvalidPolicyError("selection.policy is custom, but no choose_clients was loaded")
    seen = [client_view(client) for client in clients]
    chosen: list[str] = call(choose, list[str], seen, candidates.cohort, candidates.round_number)
    by_thing = {client.thing: client for client in clients}
    strangers = [thing for thing in chosen if thing not in by_thing]
    if strangers or not chosen or len(set(chosen)) < len(chosen):
        raise InvalidPolicyError(
            "policies.py: choose_clients must return the names of one or more of its clients, each once; "
            f"it returned {chosen}"
        )
    return [by_thing[thing] for thing in chosen]


CUSTOM = SelectionPolicy(settings=OF_A_COHORT, pool=compared, choose=_choose)
