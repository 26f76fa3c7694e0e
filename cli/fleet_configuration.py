"""The file of --config: what the components' configuration is to be on the devices of a group."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from cli.project import Fault
from cli.settings.yaml_file import InvalidYamlError, YamlFile
from components.client.agent import configuration
from components.client.agent.configuration import ConfigurationError
from operations.fleets.configuration import UnknownKeyError


class ConfigurationFileError(Exception):
    """The file can't be read, or has a key or a value that the components do not take; the text names it."""


class ConfigurationFile:
    """Keys and values, in YAML or JSON. `given` is empty if there is no file.

    Raises:
        ConfigurationFileError: it can't be read, or has no keys.
    """

    given: Mapping[str, Any]

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.given = {}
        if path is None:
            return
        try:
            self._file = YamlFile(path)
        except OSError as error:
            raise ConfigurationFileError(f"{path}: it can't be read: {error.strerror}") from error
        except InvalidYamlError as error:
            raise ConfigurationFileError(str(Fault(path, error.line, str(error)))) from error
        if not isinstance(self._file.value, dict):
            text = "it needs keys with values, such as dataset: /var/lib/digits"
            raise ConfigurationFileError(str(Fault(path, None, text)))
        self.given = self._file.value

    def refuse(self, error: UnknownKeyError) -> NoReturn:
        """Tell of a key, with its line.

        Raises:
            ConfigurationFileError: always.
        """
        raise ConfigurationFileError(self._told(error.path, str(error))) from error

    def check(self, client_configuration: Mapping[str, Any]) -> None:
        """Whether the client would take a configuration.

        Raises:
            ConfigurationFileError: it would not.
        """
        try:
            configuration.parse(client_configuration)
        except ConfigurationError as error:
            text = str(error.__cause__ or error)
            key = text.rpartition("$.")[2].split("`")[0]
            raise ConfigurationFileError(self._told((key,), text)) from error

    def _told(self, path: tuple[str, ...], text: str) -> str:
        if self._path is None:
            return f"{text}: an earlier deployment has it so; give another value by --config"
        return str(Fault(self._path, self._file.line_of(path), text))
