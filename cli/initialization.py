"""Making a federation: its first model, as a check has made it, and its first record."""

from cli.project import Project
from cloud.state.records import FederationRecord
from operations.control import Operations
from protocol.tensors import parse_header, schema_id


def create(operations: Operations, project: Project, model: bytes) -> FederationRecord:
    """Upload model 0 and make the federation, ready to start.

    Raises:
        FederationExistsError: the name is taken.
    """
    operations.federations.check_free(project.settings.name)
    header = parse_header(model, len(model))
    reference = operations.put_initial(project.settings, model)
    return operations.federations.create(project.settings, reference, schema_id(header.schema))
